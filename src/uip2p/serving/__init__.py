"""One editor for many askers: a queue under a web page (`uip2p ui`) and an HTTP API (`uip2p serve`)."""
