"""The exercises of the lessons, one module a lesson: `from ftkit.lesson.exercises import lora as check`."""
