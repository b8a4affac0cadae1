"""The plain pages for people: server-rendered, without a script. They call what the interface offers."""
