"""What a machine without a cluster and without a Redis needs: a directory, processes that outlive us, a Valkey."""
