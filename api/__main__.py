"""`python -m api`: the same as `taskpost serve`."""

from api.commands.serve import serve

if __name__ == "__main__":
    serve()
