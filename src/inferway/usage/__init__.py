"""What was used and what it cost: records, the journal, prices."""
