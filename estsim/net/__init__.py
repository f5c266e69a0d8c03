"""The wire: TLS over memory buffers, connections with stamps and deadlines, and the httpx transport over them."""
