"""What privacy costs, and whom: heads at several epsilons beside heads without privacy."""
