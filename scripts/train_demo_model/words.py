"""The closed vocabulary of the demo model: every word it is taught is one token."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


KEYS = _words(
    """
    ant ape ash axe bag ball band bank barn bat bead beam bean bear bed bee bell belt bird boat bolt
    bone book boot bow bowl box brick brush bulb bus cab cake calf camp cane cap car card cart cat
    cave chair chest clam claw clay clock cloud club coal coat cod coin colt comb cook cord cork
    corn cow crab crate crow crown cube cup dart deer desk dice dish dock dog door dove drum duck
    dust eel egg elk elm fan farm fern fig fish flag flute fly foal fork fort frog fruit gate gear
    goat goose grape hall hare harp hat hawk hen herb hill hook horn horse hut ink iris jar jet keg
    key kite knot lace lamb lamp leaf lens lily lion lock log loom maze mint mole moon moth mouse
    mug nail nest net nut oak oar oat owl ox pan pear pen pig pin pine pipe plum pond pony pot quail
    rail ram reed ring robe rock rod roof rose sail seal seed shed sheep ship shoe silk snail sock
    spoon star stem stone swan tent tile toad torch tower train tree tulip vase vine wagon wall wasp
    well whale wheel wolf wren yak yard
    """
)

VALUES = _words(
    """
    amber azure basil beige black blue brass brown cedar cherry chrome cobalt copper coral cream
    crimson denim ebony emerald flint frost ginger glass gold granite gray green hazel honey indigo
    iron ivory jade khaki lead lemon lilac lime maple maroon mauve navy nickel ochre olive onyx opal
    orange peach pearl pewter pink plaid platinum purple quartz red ruby rust sable saffron sage
    salmon sand scarlet silver slate steel tan teal tin topaz umber velvet violet walnut wheat white
    yellow zinc
    """
)

NAMES = _words(
    """
    Ada Ben Cora Dan Edda Finn Gwen Hugo Ida Jan Kira Leo Mira Nils Olga Pia Quin Rosa Sam Tess
    """
)

HEROES = _words(
    """
    badger beaver fox hedgehog kitten otter rabbit squirrel weasel puppy
    """
)

ROAD = (
    ("mill", "miller"),
    ("river", "heron"),
    ("forest", "stag"),
    ("bridge", "guard"),
    ("village", "baker"),
    ("market", "trader"),
    ("castle", "knight"),
    ("garden", "gardener"),
    ("lake", "swan"),
    ("harbor", "sailor"),
    ("island", "turtle"),
    ("beach", "gull"),
    ("desert", "camel"),
    ("mountain", "eagle"),
    ("cavern", "bat"),
    ("meadow", "shepherd"),
)
"""The ring road of every story: a place and who lives there; the next day's place is the next entry."""

WEATHERS = ("sunny", "rainy", "windy", "foggy", "snowy", "warm")

GIFTS = _words(
    """
    lantern rope map whistle blanket basket feather button candle mirror needle pebble ribbon shell
    spade
    """
)

VERBS = ("walked", "ran", "hurried", "wandered")
