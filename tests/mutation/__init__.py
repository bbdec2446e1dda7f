"""Mutation testing: does the suite notice small changes of the code?"""
