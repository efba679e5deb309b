def serve(*a):
    pass
