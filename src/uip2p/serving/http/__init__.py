"""`uip2p serve`: the HTTP API, as OpenAI's `images.edit` has it, over one `Service`."""
