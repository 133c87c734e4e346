"""Load balancing: the servers of services, and the configuration of nginx that is made of them."""
