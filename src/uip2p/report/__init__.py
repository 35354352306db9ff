"""`uip2p report`: what runs have measured, as one page. `collect` makes plain data of run folders, `tables`, `pictures`
and `plots` make of it what is shown, `page` and `markdown` write it down."""
