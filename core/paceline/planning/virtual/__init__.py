"""The world of a forecast: the real parts in virtual time, beside a modelled provider and store."""
