"""Pods as they are: what they are made of, how their containers stand, what they listen on."""
