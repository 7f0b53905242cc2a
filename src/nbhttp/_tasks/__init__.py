"""The parts of the task manager: loops, slots, records, threads, processes, workers that pull."""
