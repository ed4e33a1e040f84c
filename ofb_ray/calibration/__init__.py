"""What calibration images say of a network before any training: canonical basis, compensation, sensitivity."""
