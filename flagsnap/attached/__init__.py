"""What lies beside a snapshot's manifest: small sealed documents, put there after it was published."""
