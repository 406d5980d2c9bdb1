"""How a call is carried out: sending, receiving, delayed messages and statistics, on Redis and on other stores."""
