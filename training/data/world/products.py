"""Product pages of a shop, and orders from them."""

import random
from dataclasses import dataclass

from training.data.world import lexicon, pages_lexicon
from training.data.world.facts import Split, Topic, draw_topics, held_out
from training.data.world.lexicon import LANGUAGES, Language
from training.data.world.pictures import MAX_COUNT, PictureSpec

RETURN_DAYS = (7, 14, 15, 30)
# The pictures can show up to three of a thing, and a pack never holds more than a page shows.
PACKS = tuple(range(1, MAX_COUNT + 1))
# Two weekdays are enough to pack and to drive.
DELIVERY_DAYS = 2


@dataclass(frozen=True, slots=True)
class Product:
    """What a page tells.

    Attributes:
        topic: whose item, colour, style, shop, person, place, day and price these facts are.
        count: how many are in a pack.
        price: of a pack, in the currency of the shop.
        material: a key of `Pages.materials`.
        delivery_day: as the language says it.
        return_days: how many days a buyer has to send it back.
    """

    id: str
    language: Language
    topic: Topic
    item: str
    colour: str
    style: str
    count: int
    price: int
    shop: str
    material: str
    delivery_day: str
    return_days: int


@dataclass(frozen=True, slots=True)
class ProductPage:
    """A page: its name, what stands in its list, and its pictures, of which the first is large.

    Attributes:
        captions: one for each picture.
    """

    product: Product
    name: str
    bullets: tuple[str, ...]
    pictures: tuple[PictureSpec, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What was bought.

    Attributes:
        number: eight digits.
        packs: how many packs.
        total: packs times the price.
        state: how far it is.
    """

    number: str
    product: Product
    buyer: str
    packs: int
    total: int
    ordered_day: str
    state: str


STATES = ("paid", "sent", "arrived", "returned", "refunded")


def make_product(
    seed: int, split: Split, number: int, *, language: Language | None = None
) -> Product:
    """Draws a product; equal arguments give an equal one."""
    name = f"world-2/{seed}/{split}/{number}"
    rng = random.Random(f"{name}/product")
    if language is None:
        language = rng.choice(LANGUAGES)
    topic = draw_thing(rng, language, split)
    days = lexicon.load().phrases[language].days
    assert topic.item
    return Product(
        id=name,
        language=language,
        topic=topic,
        item=topic.item,
        colour=topic.colour,
        style=topic.style,
        count=rng.choice(PACKS),
        price=topic.price,
        shop=topic.shop,
        material=rng.choice(sorted(pages_lexicon.load().materials)),
        delivery_day=days[(days.index(topic.day) + DELIVERY_DAYS) % len(days)],
        return_days=rng.choice(RETURN_DAYS),
    )


def draw_thing(rng: random.Random, language: Language, split: Split) -> Topic:
    """Draws a topic that is about a thing."""
    while True:
        topic = draw_topics(rng, language, split, 1)[0]
        if topic.item:
            return topic


def make_page(product: Product, split: Split) -> ProductPage:
    """Writes the page of a product: five facts in changing order, and two or three pictures."""
    rng = random.Random(f"{product.id}/page")
    language = product.language
    lists = pages_lexicon.load().products[language]
    told = pages_lexicon.thing(product.item, product.colour, language, style=product.style)
    material = pages_lexicon.load().materials[product.material].say(language)
    name = lists.pick("names", split, rng).format(x=told, shop=product.shop)
    bullets = [
        lists.pick("packs", split, rng).format(count=product.count),
        lists.pick("prices", split, rng).format(price=product.price),
        lists.pick("deliveries", split, rng).format(day=product.delivery_day),
        lists.pick("returns", split, rng).format(days=product.return_days),
        lists.pick("materials", split, rng).format(material=material),
    ]
    rng.shuffle(bullets)
    pictures = _pictures(product, split, rng)
    captions = tuple(pages_lexicon.shown(picture, language) for picture in pictures)
    return ProductPage(product, name, tuple(bullets), pictures, captions)


def make_order(product: Product) -> Order:
    """The order of the topic's person, on the topic's day."""
    rng = random.Random(f"{product.id}/order")
    packs = rng.choice((1, 1, 2, 3))
    return Order(
        number=f"{rng.randrange(10**7, 10**8)}",
        product=product,
        buyer=product.topic.person,
        packs=packs,
        total=packs * product.price,
        ordered_day=product.topic.day,
        state=rng.choice(STATES),
    )


def _pictures(product: Product, split: Split, rng: random.Random) -> tuple[PictureSpec, ...]:
    """One of the thing, one of the pack with its price on a tag, at times one in another colour."""
    style = product.topic.style
    main = PictureSpec(product.item, product.colour, rng.randrange(10**6), style=style)
    pack = PictureSpec(
        product.item, product.colour, rng.randrange(10**6), count=product.count, style=style,
        text=str(product.price),
    )  # fmt: skip
    colours = [
        colour
        for colour in sorted(lexicon.load().colours)
        if colour != product.colour and (split != "train" or not held_out(product.item, colour))
    ]
    if not colours or rng.random() < 0.5:
        return main, pack
    return main, pack, PictureSpec(
        product.item, rng.choice(colours), rng.randrange(10**6), style=style
    )  # fmt: skip
