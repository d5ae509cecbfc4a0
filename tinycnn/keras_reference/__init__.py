"""The same network in Keras: translation.py says it in Keras, twin.py asks Keras, compare.py has the verdict."""
