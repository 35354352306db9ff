"""`uip2p ui`: a page on which people edit pictures, in their browser, on their own machine."""
