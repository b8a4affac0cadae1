"""A network of known make: is the number right?"""
