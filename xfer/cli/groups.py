"""The command and its groups of verbs, which the modules beside fill."""

from tyro.extras import SubcommandApp

app = SubcommandApp()
weights = SubcommandApp()
train = SubcommandApp()
world = SubcommandApp()
notebooks = SubcommandApp()
app.command(weights, name="weights", help="Checkpoint files: list, fetch, verify, convert.")
app.command(train, name="train", help="Train networks: generator, instruments, inverter, ...")
app.command(world, name="world", help="The face world: render people with exact truth.")
app.command(notebooks, name="notebooks", help="The numbered notebooks: run them in order.")
