"""How much principals may store, ask for and transfer, counted together by all processes of all nodes."""
