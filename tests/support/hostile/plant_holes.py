"""Leaves files in its state folder that read as far more than they take."""

for number in range(64):
    with open(f"/state/hole{number}", "wb") as file:
        file.truncate(60 << 20)
print("{}")
