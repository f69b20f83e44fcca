"""Random text to speak: sentences of a small grammar in twelve languages, numbers, names, and invented words.

Speech synthesis needs text without copyright, so these word lists were written for it. The sentences need no meaning.
They need each language's sounds in its own syllables and intonation.
"""

# ruff: noqa: RUF001

import random

# language -> four lists (subject, verb, object, place; Turkish: subject, place, object, verb), separated by commas
LEXICON: dict[str, tuple[str, str, str, str]] = {
    "en": (
        "my neighbour,the old captain,a young doctor,our teacher,the tall gardener,nobody,every child,the quiet guest",
        "finds,carries,paints,sells,has forgotten,is looking for,would like to see,never touches",
        "the green umbrella,a box of apples,seven letters,the broken clock,fresh bread,a heavy suitcase,a ticket",
        "behind the station,at the market,under the bridge,in the kitchen,near the river,on Thursday,before the storm",
    ),
    "de": (
        "mein Nachbar,die alte Lehrerin,ein junger Arzt,unsere Köchin,der große Gärtner,niemand,jedes Kind,der Gast",
        "findet,trägt,malt,verkauft,vergisst,sucht,zeigt,braucht",
        "den Schirm,eine Kiste Äpfel,sieben Briefe,die kaputte Uhr,frisches Brot,einen schweren Koffer,ein Schloss",
        "hinter dem Bahnhof,auf dem Markt,unter der Brücke,in der Küche,am Fluss,am Donnerstag,vor dem Gewitter",
    ),
    "fr": (
        "mon voisin,la vieille dame,un jeune médecin,notre professeur,le grand jardinier,personne,chaque enfant,l'ami",
        "trouve,porte,dessine,vend,oublie,cherche,montre,achète",
        "le parapluie vert,une caisse de pommes,sept lettres,l'horloge cassée,du pain frais,une valise,un billet",
        "derrière la gare,au marché,sous le pont,dans la cuisine,près de la rivière,jeudi matin,avant l'orage",
    ),
    "es": (
        "mi vecino,la vieja maestra,un joven médico,nuestro capitán,el jardinero alto,nadie,cada niño,la señora",
        "encuentra,lleva,pinta,vende,olvida,busca,enseña,necesita",
        "el paraguas verde,una caja de manzanas,siete cartas,el reloj roto,pan caliente,una maleta pesada,la llave",
        "detrás de la estación,en el mercado,bajo el puente,en la cocina,junto al río,el jueves,antes de la lluvia",
    ),
    "it": (
        "il mio vicino,la vecchia maestra,un giovane medico,il nostro capitano,il giardiniere,nessuno,ogni bambino",
        "trova,porta,dipinge,vende,dimentica,cerca,mostra,compra",
        "l'ombrello verde,una cassa di mele,sette lettere,l'orologio rotto,il pane fresco,una valigia,una chiave",
        "dietro la stazione,al mercato,sotto il ponte,in cucina,vicino al fiume,giovedì,prima del temporale",
    ),
    "pt": (
        "o meu vizinho,a velha professora,um jovem médico,o nosso capitão,o jardineiro,ninguém,cada criança",
        "encontra,leva,pinta,vende,esquece,procura,mostra,compra",
        "o guarda-chuva verde,uma caixa de maçãs,sete cartas,o relógio partido,pão fresco,uma mala pesada,a chave",
        "atrás da estação,no mercado,debaixo da ponte,na cozinha,perto do rio,na quinta-feira,antes da chuva",
    ),
    "nl": (
        "mijn buurman,de oude lerares,een jonge dokter,onze kapitein,de lange tuinman,niemand,elk kind,de gast",
        "vindt,draagt,schildert,verkoopt,vergeet,zoekt,toont,koopt",
        "de groene paraplu,zes appels,zeven brieven,de kapotte klok,vers brood,een zware koffer,het kaartje",
        "achter het station,op de markt,onder de brug,in de keuken,bij de rivier,op donderdag,voor het onweer",
    ),
    "pl": (
        "mój sąsiad,stara nauczycielka,młody lekarz,nasz kapitan,wysoki ogrodnik,nikt inny,każde dziecko,cichy gość",
        "znajduje,niesie,maluje,sprzedaje,widzi,ogląda,pokazuje,kupuje",
        "zielony parasol,skrzynkę jabłek,siedem listów,zepsuty zegar,świeży chleb,ciężką walizkę,ostatni bilet",
        "za dworcem,na rynku,pod mostem,w kuchni,nad rzeką,w czwartek,przed burzą",
    ),
    "sv": (
        "min granne,den gamla läraren,en ung läkare,vår kapten,trädgårdsmästaren,ingen,varje barn,den tysta gästen",
        "hittar,bär,målar,säljer,glömmer,söker,visar,köper",
        "det gröna paraplyet,en låda äpplen,sju brev,den trasiga klockan,färskt bröd,en tung väska,den sista biljetten",
        "bakom stationen,på torget,under bron,i köket,vid floden,på torsdag,före ovädret",
    ),
    "fi": (
        "naapurini,vanha opettaja,nuori lääkäri,kapteenimme,pitkä puutarhuri,hiljainen vieras,jokainen lapsi",
        "löytää,kantaa,maalaa,myy,unohtaa,etsii,näyttää,ostaa",
        "vihreän sateenvarjon,omenalaatikon,seitsemän kirjettä,rikkinäisen kellon,tuoreen leivän,painavan laukun",
        "aseman takana,torilla,sillan alla,keittiössä,joen rannalla,torstaina,ennen myrskyä",
    ),
    "ru": (
        "мой сосед,старая учительница,молодой врач,наш капитан,высокий садовник,каждый ребёнок,тихий гость",
        "находит,несёт,рисует,продаёт,забывает,ищет,показывает,покупает",
        "зелёный зонт,ящик яблок,семь писем,сломанные часы,свежий хлеб,тяжёлый чемодан,последний билет",
        "за вокзалом,на рынке,под мостом,на кухне,у реки,в четверг,перед грозой",
    ),
    "tr": (
        "komşum,yaşlı öğretmen,genç doktor,kaptanımız,uzun boylu bahçıvan,her çocuk,sessiz misafir",
        "istasyonun arkasında,pazarda,köprünün altında,mutfakta,nehrin yanında,perşembe günü,fırtınadan önce",
        "yeşil şemsiyeyi,bir kasa elmayı,yedi mektubu,bozuk saati,taze ekmeği,ağır bavulu,son bileti",
        "buluyor,taşıyor,boyuyor,satıyor,unutuyor,arıyor,gösteriyor,alıyor",
    ),
}
NAMES = (
    "Anna,Boris,Clara,David,Elena,Felix,Greta,Hugo,Irina,Jonas,Klara,Leo,Maria,Nils,Olga,Pablo,Rosa,Simon,Tara,Viktor"
)
ONSETS = "b,d,f,g,k,l,m,n,p,r,s,t,v,br,st,tr,pl,z,h,j"
VOWELS = "a,e,i,o,u,a,e,i,o,ai,au"
CODAS = ",,,,n,r,s,l,m,t,k"


def text(language: str, words: int, rng: random.Random) -> str:
    """Sentences of at least ``words`` words. Of a language code such as ``en-gb`` only the first part counts."""
    base = language.split("-")[0]
    sentences: list[str] = []
    while sum(sentence.count(" ") + 1 for sentence in sentences) < words:
        kind = rng.random()
        if kind < 0.12:
            sentence = _numbers(rng)
        elif kind < 0.17:
            sentence = ", ".join(rng.sample(NAMES.split(","), rng.randint(2, 4)))
        elif base in LEXICON:
            sentence = " ".join(rng.choice(part.split(",")) for part in LEXICON[base])
        else:
            sentence = " ".join(invented(rng) for _ in range(rng.randint(3, 8)))
        sentences.append(sentence[0].upper() + sentence[1:] + rng.choice("....?!"))
    return " ".join(sentences)


def _numbers(rng: random.Random) -> str:
    """Separate digits, a number, a time or a decimal; the synthesiser spells them out."""
    return rng.choice(
        (
            ", ".join(str(rng.randrange(10)) for _ in range(rng.randint(3, 7))),
            str(rng.randrange(10 ** rng.randint(2, 5))),
            f"{rng.randint(1, 23)}:{rng.randint(10, 59)}",
            f"{rng.randrange(100)}.{rng.randrange(100)}",
        )
    )


def invented(rng: random.Random) -> str:
    """An invented word of one to four syllables in Latin letters."""
    parts = (ONSETS.split(","), VOWELS.split(","), CODAS.split(","))
    return "".join(rng.choice(part) for _ in range(rng.choice((1, 2, 2, 3, 3, 4))) for part in parts)
