"""The exercises of the lessons, one module a lesson: `from ftkit.teaching.exercises import lora as check`."""
