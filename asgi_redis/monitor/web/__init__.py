"""The monitor as a web page: its files, its answers, and a server for one person."""
