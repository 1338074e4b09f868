"""The loops that give slots, start attempts, watch them, settle their ends and drive deliveries."""
