"""The service on databases as users run them: behind a pooler, and with a standby.

Run by `python3 run.py test --databases` alone, for they want more than the locks bring.
"""
