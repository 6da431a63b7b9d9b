"""suho.market.v1.BridgeService, a part a file; `service.py` joins them."""
