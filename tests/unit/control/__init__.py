"""Control process."""
