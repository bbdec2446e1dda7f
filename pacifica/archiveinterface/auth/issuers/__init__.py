"""Tokens that others issue and sign: WLCG's, SciTokens and those of OpenID Connect."""
