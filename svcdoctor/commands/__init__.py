"""One module a command, and what they share.

At the top they import only click and each other; what a command needs it imports when it runs.
"""
