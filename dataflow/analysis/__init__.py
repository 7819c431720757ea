"""What a step costs: reports, studies, timelines, bounds, energy."""
