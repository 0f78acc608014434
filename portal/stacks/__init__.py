"""The Compose stacks as files: `homeport stack` prepares and checks their settings before `up`.

    stack init    .env from .env.example, and every secret that can be drawn at random; nothing is overwritten
    stack check   everything that is missing or wrong, at once, each with its remedy; nothing is changed

Which variables there are, and what they are by default, is read from the stack's own compose.yaml. Compose itself does
not check: a variable with a typing error is an unset one, and a placeholder is a name like any other.
"""
