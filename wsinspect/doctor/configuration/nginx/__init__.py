"""nginx, Nginx Proxy Manager and OpenResty: crossplane reads, these modules decide by nginx's rules."""
