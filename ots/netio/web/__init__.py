"""Loading a web page as a browser would, without rendering it: requests, resources and their archive."""
