def show(frames):
    try:
        while True:
            frames.recv()
    except EOFError:
        pass
