"""Adapters to model providers; the application names the ones it uses, one by one."""
