"""How good scores and decisions are: areas, calibration, rates by class, spread over groups."""
