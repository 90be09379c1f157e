"""Evaluations: how well a part does its work on data that is not shipped; each takes the data's folder."""
