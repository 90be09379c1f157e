"""Articles and questions that the gate is fitted on and measured with.

Written for this purpose. A `says` question can be answered from the articles: the answer must hold one of the texts.
A `near` question is about the same business and is answered nowhere; `off` is about something else altogether.
`FIT` may be looked at and tuned on; `HOLD_OUT` (other businesses) only measures.
"""

# ruff: noqa: ISC004 - each article is a title and a text, however many lines the text takes

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from a1zap.knowledge.demo_articles import load_demo_articles


@dataclass(frozen=True, slots=True)
class Case:
    question: str
    kind: Literal["says", "near", "off"]
    musts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Desk:
    name: str
    articles: tuple[tuple[str, str], ...]
    cases: tuple[Case, ...]


def says(question: str, *musts: str) -> Case:
    return Case(question, "says", musts)


def near(*questions: str) -> tuple[Case, ...]:
    return tuple(Case(question, "near") for question in questions)


def off(*questions: str) -> tuple[Case, ...]:
    return tuple(Case(question, "off") for question in questions)


SHOP = Desk(
    "Pinewool, a shop for outdoor clothes",
    (
        ("Delivery times and costs",
         "We send parcels from Monday to Friday. What is ordered before 2 p.m. leaves the same day.\n\n"
         "Delivery takes 2 to 3 working days within Germany and 4 to 7 working days in the rest of the European Union. "
         "Shipping costs €4.90 in Germany and €9.90 abroad; orders of €80 or more are sent free of charge within Germany.\n\n"
         "Express delivery arrives on the next working day and costs €12."),
        ("Where we deliver",
         "We deliver to all countries of the European Union, to Switzerland and to Norway. For Switzerland and Norway customs duties may be added, "
         "which you pay to the carrier. We do not ship to packing stations outside Germany."),
        ("Returning something",
         "You can send back anything unworn within 30 days. Open your order in your account, choose Return and print the label.\n\n"
         "Returns are free within Germany; from other countries you pay the postage. "
         "We refund the purchase price within 5 working days after the parcel has arrived, on the way you paid. "
         "Underwear and engraved bottles cannot be returned."),
        ("Exchanging for another size",
         "Choose Exchange instead of Return and tell us the size you want. We put it aside and send it as soon as your parcel has been scanned at the post office. "
         "One exchange per item is free of charge."),
        ("Which size fits me?",
         "Our jackets are cut for a pullover underneath. If you are between two sizes, take the larger one for jackets and the smaller one for base layers. "
         "The table on each product page gives chest, waist and sleeve in centimetres."),
        ("Paying",
         "We take Visa, Mastercard, PayPal, Klarna and bank transfer. With Klarna you can pay within 30 days or in three instalments. "
         "Your card is charged when the parcel leaves our warehouse, not when you order. We do not accept cheques."),
        ("Washing and caring for wool",
         "Wash merino at 30 degrees on the wool programme, inside out, with wool detergent and without softener. "
         "Dry it lying flat. Never put it into the tumble dryer: it shrinks.\n\nFresh air is often enough; wool cleans itself overnight."),
        ("Waterproofing a rain jacket",
         "Wash the jacket, then spray it evenly with a PFC-free treatment and tumble it for 20 minutes on low heat. "
         "Do this after every fifth wash, or when drops no longer roll off."),
        ("Warranty and repairs",
         "Zips, seams and buckles are guaranteed for five years. Send us a photograph first; we repair in our own workshop in about ten days. "
         "Wear and tear such as holes is repaired at cost, from €8."),
        ("Gift cards and vouchers",
         "Gift cards are available from €10 to €250 and are sent by email at once or on the day you choose. They are valid for four years and can be used in several orders. "
         "Vouchers from newsletters cannot be combined with each other."),
        ("Changing or cancelling an order",
         'As long as your order says "Received" you can change the address or cancel it in your account. '
         "Once it is being packed we can no longer stop it; refuse the parcel or send it back."),
        ("Our shop in Freiburg",
         "Visit us in Salzstraße 22, 79098 Freiburg, Monday to Saturday from 10 a.m. to 7 p.m. Online orders can be picked up there free of charge, usually after two days."),
    ),
    (
        says("how long until my parcel gets here? I live in Munich", "2 to 3 working days"),
        says("How much is shipping?", "€4.90"),
        says("is there free delivery", "€80"),
        says("I need it tomorrow, can you do that?", "€12", "next working day"),
        says("do you ship to Switzerland", "Switzerland"),
        says("Do I have to pay customs if I live in Norway?", "customs"),
        says("How do I return a jacket?", "choose Return"),
        says("how many days do I have to send something back", "30 days"),
        says("When will I get my money back for a return?", "5 working days"),
        says("can I return underwear", "Underwear"),
        says("Who pays the postage for returns from Austria?", "you pay the postage"),
        says("The shoes are too small, can I swap them for a bigger size?", "Exchange instead of Return"),
        says("I'm between M and L, which one should I take?", "between two sizes"),
        says("Can I pay with PayPal?", "PayPal"),
        says("do you offer payment in instalments?", "three instalments"),
        says("when is my credit card charged?", "leaves our warehouse"),
        says("How do I wash a merino shirt?", "30 degrees"),
        says("can I put wool in the dryer", "tumble dryer"),
        says("my rain jacket is no longer waterproof, what can I do", "PFC-free"),
        says("The zip of my jacket broke, do you repair it?", "repair"),
        says("how long is the guarantee on zips", "five years"),
        says("Do gift cards expire?", "four years"),
        says("can I combine two newsletter vouchers", "cannot be combined"),
        says("I want to cancel my order", "cancel it in your account", "Received"),
        says("i entered the wrong address, can it still be changed?", "change the address"),
        says("What are the opening hours of your store?", "10 a.m. to 7 p.m."),
        says("where is your shop", "Salzstraße 22"),
        says("can i collect my online order in the shop", "picked up"),
        *near(
            "Do you sell tents?",
            "Do you have a loyalty programme?",
            "Are your products made in Europe?",
            "Is the wool mulesing-free?",
            "Do you have student discounts?",
            "Can I order by telephone?",
            "Are you hiring sales assistants?",
            "do you have jackets for dogs?",
            "What is the chest measurement of the Alta jacket in M?",
            "Where is my parcel 00340434292135100186?",
            "How do I unsubscribe from the newsletter?",
            "Do you deliver to the United States?",
            "Can I pay with bitcoin?",
            "Is there parking at the shop?",
            "My tracking says delivered but nothing has arrived",
            "How do I reset my account password?",
            "Can I have my order gift-wrapped?",
        ),
        *off(
            "what's the capital of Australia?",
            "Write me a poem about autumn",
            "How do I cook risotto?",
            "who won the match yesterday",
            "What's the weather in Hamburg tomorrow?",
            "can you help me with my tax return",
            "translate good morning into Japanese",
            "how tall is the Eiffel tower",
        ),
    ),
)  # fmt: skip

SOFTWARE = Desk(
    "Tallymark, time tracking for teams",
    (
        ("Getting started",
         "1. Create a workspace with your work email.\n2. Invite your colleagues under Settings, People.\n3. Add a project and a client.\n4. Press Start in the timer bar.\n\n"
         "The first 14 days are free, with all features and without a credit card."),
        ("Prices and plans",
         "Solo is free for one person. Team costs $6 and Business $11 per person and month; with yearly billing you save 20 percent. "
         "Non-profit organisations get 30 percent off: write to us with a proof."),
        ("How do I add or remove a user?",
         "Open Settings, People and choose Invite. Enter one or more email addresses and pick a role: member, manager or admin. "
         "To remove somebody, choose Deactivate: their hours stay in the reports and you are no longer billed for them from the next month on."),
        ("How do I correct a time entry?",
         "Click the entry in the timesheet and change start, end, project or note. Members can edit the last 30 days; managers can edit everything. "
         "Approved timesheets are locked: ask a manager to reopen the week."),
        ("Exporting reports",
         "Every report can be exported as CSV, Excel or PDF with the button at the top right. "
         "Exports with more than 100,000 entries are prepared in the background and sent to you by email as a link that is valid for 24 hours."),
        ("Integrations",
         "Tallymark connects with Jira, Asana, GitHub, Google Calendar and Outlook. Open Settings, Integrations, choose one and sign in there. "
         "Calendar events are suggested as entries and never added without your click."),
        ("API and webhooks",
         "The REST API is available on the Business plan. Create a token under Profile, API tokens. "
         "The limit is 120 requests per minute for each token; beyond it you get the status 429. Webhooks are sent for created, changed and deleted entries."),
        ("Single sign-on",
         "On the Business plan you can sign in with Google, Microsoft or any SAML identity provider. "
         "An admin sets it up under Settings, Security. When it is enforced, passwords no longer work, except for the owner's."),
        ("Mobile apps and working offline",
         "The apps for iPhone and Android track time without a connection and synchronise when you are back online. "
         "The desktop app for Windows and Mac can remind you when you are idle for more than 10 minutes."),
        ("Invoices and changing the payment method",
         "Invoices are under Settings, Billing, History and are sent to the billing address every month. "
         "To change your card, choose Settings, Billing, Payment method. We take credit cards and, for yearly plans above $500, bank transfer."),
        ("Cancelling and deleting a workspace",
         "The owner can cancel at any time under Settings, Billing, Cancel plan; it ends with the period that is paid for. "
         "After that the workspace can be read for 60 days and is then deleted. We cannot restore it later."),
        ("Where is our data stored?",
         "All data is stored in Dublin, Ireland, encrypted at rest, with backups every six hours that are kept for 14 days. "
         "We are certified according to ISO 27001. A data processing agreement can be signed under Settings, Legal."),
    ),
    (
        says("is there a free trial?", "14 days"),
        says("Do I need a credit card to try it?", "without a credit card"),
        says("How much does the Business plan cost?", "$11"),
        says("we are a charity, is there a discount?", "30 percent"),
        says("What do I save if I pay yearly?", "20 percent"),
        says("how can i invite a colleague", "choose Invite", "Invite your colleagues"),
        says("Someone left the company, how do I delete them without losing their hours?", "Deactivate"),
        says("I forgot to stop the timer yesterday, can I fix the end time?", "change start, end"),
        says("why can't I edit last week's timesheet", "locked", "last 30 days"),
        says("How far back can members edit entries?", "30 days"),
        says("can I get the report as an Excel file", "Excel"),
        says("My export link has expired", "24 hours"),
        says("does it integrate with Jira?", "Jira"),
        says("Are calendar events added automatically?", "never added without your click"),
        says("what's the rate limit of the API", "120 requests"),
        says("Which plan do I need for API access?", "Business plan"),
        says("I get error 429 from your API", "429"),
        says("can we log in with our Microsoft accounts", "Microsoft"),
        says("Do you support SAML?", "SAML"),
        says("Does the app work without internet?", "without a connection"),
        says("is there an android app", "Android"),
        says("Where do I find my invoices?", "Settings, Billing, History"),
        says("our credit card has changed, where can I update it?", "Payment method"),
        says("Can I pay by bank transfer?", "bank transfer"),
        says("How do I cancel my subscription?", "Cancel plan"),
        says("what happens to our data after cancelling?", "60 days"),
        says("Which country is the data kept in?", "Ireland"),
        says("are you ISO certified", "ISO 27001"),
        says("How often do you make backups?", "six hours"),
        *near(
            "Can I track the location of my employees?",
            "Do you have a Slack integration?",
            "Can I import my hours from Toggl?",
            "Is there a dark mode?",
            "How do I change my email address?",
            "Does Tallymark create screenshots of the screen?",
            "Can I set hourly rates for each project?",
            "How do I turn on two-factor authentication?",
            "The app crashes when I open the reports",
            "Can I schedule shifts?",
            "Is there an app for Linux?",
            "How do I merge two projects?",
            "Who are your investors?",
            "Do you offer training for managers?",
            "How do I request vacation days?",
            "Can I change the language to Polish?",
        ),
        *off(
            "What's a good recipe for banana bread?",
            "tell me a joke",
            "Who wrote Hamlet?",
            "book me a flight to Lisbon",
            "what is 17 times 23",
            "I have a headache, what should I take?",
            "how do I change a flat tyre",
            "is it going to rain today?",
        ),
    ),
)  # fmt: skip

CLINIC = Desk(
    "Lindenhof, a dental clinic",
    (
        ("Opening hours",
         "We are open Monday to Thursday from 8 a.m. to 6 p.m. and on Friday from 8 a.m. to 1 p.m. On Saturdays and Sundays the clinic is closed."),
        ("Making an appointment",
         "Book online at any time or call us during opening hours. New patients are usually seen within two weeks. "
         "Please arrive ten minutes early for the first visit and bring your insurance card and a list of your medicines."),
        ("Cancelling or moving an appointment",
         "Please tell us at least 24 hours before. For appointments that are missed or cancelled later we charge €40. "
         "You can move an appointment yourself with the link in the reminder that you get by text message."),
        ("Dental emergencies",
         "If you have severe pain, a swelling or a broken tooth, call us at 8 a.m.: we keep two slots free every morning. "
         "At night and at weekends the emergency service of the city hospital is open around the clock.\n\n"
         "If a tooth has been knocked out, keep it in cold milk and come at once, if possible within one hour."),
        ("Professional cleaning",
         "A professional cleaning takes about 45 minutes and costs €95. We recommend it twice a year. "
         "Statutory insurance does not pay for it as a rule; many companies pay a part once a year."),
        ("Fillings and crowns",
         "White composite fillings cost between €60 and €180, depending on their size. A ceramic crown takes two visits, about ten days apart. "
         "We give a guarantee of two years on both."),
        ("After an extraction",
         "Bite on the gauze for 30 minutes. Do not rinse, smoke or drink alcohol for 24 hours, and eat only soft food. "
         "Cool your cheek from outside. Slight bleeding on the first day is normal; call us if it does not stop or if the pain gets worse after the third day."),
        ("Whitening",
         "In-office bleaching takes one hour and costs €320. The effect lasts one to three years. Do not drink coffee, tea or red wine for 48 hours afterwards. "
         "We do not whiten the teeth of pregnant women or of people under 18."),
        ("Children",
         "Bring your child from the first tooth on, at the latest by the second birthday. The first visit is only for getting to know each other. "
         "Sealing the molars is paid for by all insurance companies between 6 and 17 years."),
        ("Fear of the dentist",
         "Tell us when you book: we plan more time and explain each step. On request we work with laughing gas (€80) or, for longer treatments, under general anaesthesia on Wednesdays. "
         "After laughing gas you may drive again after 30 minutes."),
        ("Costs, insurance and payment by instalments",
         "We treat patients of all statutory and private insurance companies. Before larger treatments you get a written cost plan free of charge. "
         "Bills above €300 can be paid in up to six instalments without interest. We take cards and cash."),
        ("How to find us",
         "Lindenhof 5, second floor, with a lift. Trams 2 and 6 stop at Marktplatz, 200 metres away. There are four parking spaces for patients in the courtyard."),
    ),
    (
        says("Are you open on Friday afternoon?", "Friday from 8 a.m. to 1 p.m."),
        says("opening hours please", "8 a.m. to 6 p.m."),
        says("can I come on saturday?", "closed"),
        says("How soon can a new patient get an appointment?", "two weeks"),
        says("What should I bring to my first visit?", "insurance card"),
        says("I can't make it tomorrow, what does it cost if I cancel?", "€40"),
        says("how do i reschedule my appointment", "link in the reminder"),
        says("My tooth broke and it hurts a lot, what should I do?", "call us at 8 a.m."),
        says("Where can I go at night if I have toothache?", "city hospital"),
        says("my son's tooth got knocked out playing football", "cold milk"),
        says("How much is a professional teeth cleaning?", "€95"),
        says("does insurance cover the cleaning?", "Statutory insurance"),
        says("how often should I get my teeth cleaned", "twice a year"),
        says("What does a white filling cost?", "€60 and €180"),
        says("how many visits for a crown", "two visits"),
        says("When can I smoke again after a tooth was pulled?", "24 hours"),
        says("It is still bleeding after the extraction, is that normal?", "bleeding"),
        says("what may I eat after an extraction?", "soft food"),
        says("How long does bleaching last?", "one to three years"),
        says("can I have my teeth whitened while pregnant", "pregnant"),
        says("At what age should my daughter see a dentist for the first time?", "first tooth"),
        says("Who pays for sealing the molars of children?", "insurance companies"),
        says("I'm terrified of the dentist", "laughing gas"),
        says("can i drive home after laughing gas", "30 minutes"),
        says("Do you treat privately insured patients?", "private insurance"),
        says("Can I pay the bill in instalments?", "six instalments"),
        says("Do you have parking?", "parking spaces"),
        says("which tram goes to the clinic", "Trams 2 and 6"),
        says("is the practice accessible with a wheelchair?", "lift"),
        *near(
            "Do you do braces?",
            "How much does an implant cost?",
            "Which dentist will treat me?",
            "Do you have a job for a dental assistant?",
            "Can I get a prescription for antibiotics?",
            "Do you sell electric toothbrushes?",
            "Can you send my X-rays to another dentist?",
            "Does anyone speak Turkish there?",
            "Is fluoride dangerous?",
            "Can I eat before general anaesthesia?",
            "How much is a root canal treatment?",
            "Do you treat snoring?",
            "My gums bleed when I brush my teeth",
            "Can I bring my dog?",
            "Do you have wifi in the waiting room?",
            "Are veneers better than crowns?",
        ),
        *off(
            "What's the best phone to buy?",
            "how do I get to the airport",
            "Can you recommend a good restaurant?",
            "what is the meaning of life",
            "Who is the chancellor of Germany?",
            "play some music",
            "My car does not start",
            "How many ounces are in a pound?",
        ),
    ),
)  # fmt: skip

HARBOR = Desk(
    "Harbor, the demo's boat rental",
    tuple(load_demo_articles("harbor")),
    (
        says("How much is a kayak for an hour?", "€12"),
        says("what does it cost to rent the keelboat for the whole day", "€240"),
        says("are life jackets included?", "Life jackets"),
        says("When do you open in July?", "9 a.m. to 8 p.m."),
        says("are you open in winter", "In winter, from November"),
        says("Do I have to book or can I just come by?", "walk in"),
        says("can I pay cash?", "in cash"),
        says("Can I get a refund if I cancel?", "48 hours"),
        says("I'd like to move my booking to Sunday", "move a booking"),
        says("What happens if it's too windy?", "wind"),
        says("it's raining, is my trip cancelled?", "Rain alone"),
        says("Do I need a licence to rent a sailing boat?", "licence"),
        says("my daughter is 15, can she go paddling on her own?", "From 14"),
        says("do you teach beginners to sail?", "Two days, Saturday and Sunday", "Beginners"),
        says("How much is a private lesson?", "€65"),
        says("What should I bring?", "shoes"),
        says("can i rent a wetsuit", "wetsuits"),
        says("Can I bring my dog?", "dogs"),
        says("Where can I park my car?", "€6"),
        says("which bus do I take?", "Bus 7"),
        says("is there a deposit for the dinghy?", "€150"),
        says("what if I damage the boat", "you pay at most the deposit", "insured"),
        says("What happens if I return late?", "half hour begun"),
        says("do you sell gift vouchers", "Gift vouchers"),
        says("can we drink beer on the boat?", "Alcohol"),
        *near(
            "Do you rent jet skis?",
            "Can I fish from the boat?",
            "Do you have a restaurant?",
            "Can we stay overnight on the keelboat?",
            "Do you repair outboard motors?",
            "How deep is the harbour?",
            "Do you offer discounts for groups?",
            "Can you recommend a hotel nearby?",
            "Are you hiring instructors?",
            "Can I moor my own boat at your pier?",
            "How long is the queue right now?",
            "Do you have diving courses?",
        ),
        *off("What's the square root of 144?", "who painted the Mona Lisa", "sing me a song", "How do I bake bread?"),
    ),
)  # fmt: skip

BYTE = Desk(
    "Byte, the demo's password manager",
    tuple(load_demo_articles("byte")),
    (
        says("I forgot my master password", "recovery key", "cannot read or reset"),
        says("Can you reset my password for me?", "cannot read or reset"),
        says("How much is the family plan?", "€4.90"),
        says("is there a discount for students?", "half off"),
        says("how do I import my passwords from Chrome?", "Import"),
        says("Can I switch from Bitwarden?", "Bitwarden"),
        says("do you support yubikey / security keys", "security keys"),
        says("can I get the codes by SMS?", "SMS"),
        says("I lost my phone with the authenticator app", "backup codes", "Sign out"),
        says("How can I share a password with my colleague?", "choose Share"),
        says("can the organiser of the family see my passwords", "cannot see"),
        says("Does it run on Linux?", "Linux"),
        says("does keyfold work offline?", "Without a connection"),
        says("my laptop was stolen, how do I lock it out", "Sign out", "lost device"),
        says("Where are the servers?", "Frankfurt"),
        says("Can Keyfold employees read my passwords?", "neither we", "cannot read"),
        says("is it open source?", "source code"),
        says("How do I cancel?", "Settings, Plan, Cancel"),
        says("do I get my money back for the yearly plan", "30 days"),
        says("How do I delete my account?", "Delete account"),
        says("can I export everything", "Settings, Export"),
        says("Autofill is not working on my iPhone", "AutoFill"),
        says("it doesn't fill in the password on one website", "Report this site"),
        says("What encryption do you use?", "AES-256"),
        *near(
            "Do you have a bug bounty programme?",
            "Can I use Keyfold on my Apple Watch?",
            "How do I change the language of the app?",
            "Is there a keyboard shortcut to open it?",
            "Can I host the server myself?",
            "Can I attach a photo of my passport?",
            "Who founded Keyfold?",
            "Is there a dark theme?",
            "How do I change my email address?",
            "Do you have a partner programme?",
            "Do you offer phone support?",
            "Can I print my vault?",
        ),
        *off("What's the fastest animal?", "how do I get rid of ants", "Which film should I watch tonight?", "do my homework"),
    ),
)  # fmt: skip

GERMAN = Desk(
    "Radwerk, a bicycle workshop in German",
    (
        ("Öffnungszeiten",
         "Wir haben von Dienstag bis Freitag von 9 bis 18 Uhr und am Samstag von 9 bis 14 Uhr geöffnet. Montags ist die Werkstatt geschlossen."),
        ("Inspektion und Preise",
         "Eine Inspektion kostet 69 Euro und dauert zwei Werktage. Verschleißteile wie Kette und Bremsbeläge berechnen wir nach Aufwand. "
         "Ein Reifenwechsel kostet 15 Euro zuzüglich Material."),
        ("Termin vereinbaren",
         "Bitte buchen Sie online oder rufen Sie uns an. Eine Panne reparieren wir, wenn möglich, sofort und ohne Termin."),
        ("E-Bikes und Akkus",
         "Wir reparieren E-Bikes mit Motoren von Bosch und Shimano. Den Akku sollten Sie im Winter bei 10 bis 20 Grad und halb geladen lagern. Akkus anderer Hersteller nehmen wir nicht an."),
        ("Leihräder",
         "Während der Reparatur leihen wir Ihnen ein Rad für 8 Euro am Tag. Bitte bringen Sie einen Ausweis mit; eine Kaution verlangen wir nicht."),
        ("Gewährleistung",
         "Auf unsere Arbeit geben wir zwei Jahre Gewährleistung, auf Verschleißteile sechs Monate."),
    ),
    (
        says("Wann habt ihr am Samstag geöffnet?", "9 bis 14 Uhr"),
        says("Was kostet eine Inspektion?", "69 Euro"),
        says("Repariert ihr auch E-Bikes mit Bosch-Motor?", "Bosch"),
        says("Kann ich während der Reparatur ein Rad leihen?", "8 Euro"),
        says("Wie lagere ich den Akku im Winter?", "10 bis 20 Grad"),
        says("Brauche ich für eine Panne einen Termin?", "ohne Termin"),
        *near(
            "Verkauft ihr auch Kinderräder?",
            "Kann ich mit Karte bezahlen?",
            "Lackiert ihr Rahmen neu?",
            "Habt ihr einen Abholservice?",
            "Bietet ihr Kurse zum Schrauben an?",
            "Wie viel wiegt ein Rennrad?",
            "Gibt es bei euch Lastenräder zu mieten?",
            "Kauft ihr gebrauchte Fahrräder an?",
        ),
        *off("Wie wird das Wetter morgen?", "Wer ist Bundeskanzler?", "Wie koche ich Spätzle?", "Erzähl mir einen Witz"),
    ),
)  # fmt: skip

GYM = Desk(
    "Ironleaf, a gym",
    (
        ("When is the gym open?",
         "Monday to Friday from 6 a.m. to 11 p.m., Saturday and Sunday from 8 a.m. to 9 p.m. On 25 December and 1 January we are closed."),
        ("What does a membership cost?",
         "Basic costs £29 a month, Plus with all classes £39, and Student £22 with a valid card. Joining costs £15 once."),
        ("How long am I bound?",
         "The contract runs for one month and is renewed until you cancel. There is no minimum term."),
        ("How do I cancel my membership?",
         "In the app under Profile, Membership, Cancel, at least seven days before the next payment. You get a confirmation by email."),
        ("Can I pause my membership?",
         "Yes, for one to three months a year, for example because of an injury or a journey. A pause costs £5 a month. Write to the front desk before the month begins."),
        ("Can I try it first?",
         "A day pass costs £10. If you join within a week, we take it off your first month."),
        ("How do I book a class?",
         "Classes open for booking in the app 72 hours before they start. Cancel at least two hours before; after three missed classes in a month you cannot book for a week."),
        ("Which classes are there?",
         "Spinning, yoga, Pilates, boxing, HIIT and a back class. The timetable is in the app and on the wall next to reception. Every class takes 50 minutes."),
        ("Do you have personal trainers?",
         "Yes, five of them. One hour costs £45, ten hours £400. Your first 30-minute check with a plan is included in the joining fee."),
        ("Showers, lockers and towels",
         "Showers and lockers are free; bring your own padlock or buy one for £6. Towels can be hired for £1. You must put a towel on the machines."),
        ("From what age may one train?",
         "From 16. Those aged 14 and 15 can train with a parent or in the teen class on Wednesday at 5 p.m."),
        ("Bringing a guest",
         "Plus members may bring a friend once a month free of charge. The guest has to show an identity card at reception."),
    ),
    (
        says("until what time are you open on Sundays", "8 a.m. to 9 p.m."),
        says("Are you closed on Christmas?", "25 December"),
        says("How expensive is it per month?", "£29"),
        says("student price?", "£22"),
        says("is there a joining fee", "£15"),
        says("Do I have to sign up for a year?", "one month", "no minimum term"),
        says("i want to quit, how does that work", "Membership, Cancel"),
        says("I broke my leg, can I put my contract on hold?", "one to three months"),
        says("how much does pausing cost", "£5"),
        says("Can I come just for one day?", "£10"),
        says("when can I book the spinning class?", "72 hours"),
        says("What happens if I don't show up to a class?", "three missed classes"),
        says("do you have yoga?", "yoga"),
        says("how long is a pilates class", "50 minutes"),
        says("What does a personal trainer cost?", "£45"),
        says("do I need my own lock for the locker", "padlock"),
        says("Can I hire a towel?", "£1"),
        says("my son is 15, can he work out here?", "14 and 15"),
        says("Can I bring a friend?", "bring a friend"),
        says("where can I see the timetable", "timetable is in the app"),
        *near(
            "Do you have a sauna?",
            "Is there a swimming pool?",
            "Do you offer childcare?",
            "Can I freeze food in your kitchen?",
            "How many treadmills do you have?",
            "Do you sell protein shakes?",
            "Is there a women-only area?",
            "Can I get a refund for last month?",
            "I lost my membership card",
            "Are there any jobs at reception?",
            "Do you have other branches in London?",
            "Can I transfer my membership to my brother?",
            "Is there a nutrition plan for losing weight?",
            "Do you have parking?",
        ),
        *off("What's the population of Canada?", "How do I fix a leaking tap?", "who sang Yesterday", "recommend a novel"),
    ),
)  # fmt: skip

PROVIDER = Desk(
    "Northwire, internet at home",
    (
        ("Setting up your router",
         "## Connecting the box\n\nPlug the grey cable into the socket in the wall and the power cable into the back. Wait about four minutes until the light turns from orange to white. "
         "The name of your network and its password are printed on the bottom.\n\n"
         "## Changing the name or password of the wifi\n\nOpen http://router.northwire.example in a browser, sign in with the code on the sticker and choose Wireless. "
         "All devices have to be connected again afterwards.\n\n"
         "## Where should it stand?\n\nPut it in the open, at least one metre above the floor and away from microwaves. Thick walls cost the most speed; a repeater helps, which we rent out for £3 a month."),
        ("When the internet does not work",
         "## The light is red\n\nA red light means that there is no signal. Check the cable, then switch the box off for 30 seconds and on again. If it is still red after ten minutes, report a fault.\n\n"
         "## Is there an outage in my area?\n\nEnter your postcode on northwire.example/status. Most outages are mended within six hours.\n\n"
         "## It is slow\n\nMeasure with a cable at northwire.example/speed. If you get less than half of what you booked on three days, you may cancel at once or pay half until it is mended.\n\n"
         "## Reporting a fault\n\nCall 0800 555 0142, day and night, or use the form in the app. A technician comes within two working days, between 8 and 18 o'clock."),
        ("Moving house",
         "Tell us at least four weeks before you move. If we serve the new address, we move the connection for £25 and your contract goes on unchanged. "
         "If we do not, you can end the contract with one month's notice; please send us the new tenancy agreement."),
        ("Contracts and leaving us",
         "## How long does the contract last?\n\nTwelve months; after that you can leave at any time with 30 days' notice.\n\n"
         "## How do I cancel?\n\nIn the app under Contract, Cancel, or by letter. Send the router back within 14 days; otherwise we charge £60.\n\n"
         "## Cooling-off period\n\nYou can withdraw from a new contract within 14 days without giving a reason."),
        ("Bills and payment",
         "The bill comes by email on the 3rd of each month and is debited on the 10th. A paper bill costs £1.50. "
         "If a debit fails, we try once more after seven days and charge £4. If you are short of money, call us before the due date: we can spread a bill over three months."),
        ("Speeds and prices",
         "| Plan | Download | Upload | A month |\n|---|---|---|---|\n| Fibre 100 | 100 Mbit/s | 40 Mbit/s | £24 |\n| Fibre 300 | 300 Mbit/s | 100 Mbit/s | £32 |\n| Fibre 1000 | 1,000 Mbit/s | 300 Mbit/s | £45 |\n\n"
         "You can change to a faster plan at any time, and to a slower one after twelve months. A fixed IP address costs £5 a month."),
        ("Television and telephone",
         "With every plan you can add television with 90 channels for £9 a month; the stick plugs into the HDMI socket. Recordings are kept for 60 days. "
         "A telephone line with calls to landlines costs £4; you can keep your old number if you send us the form before the other contract ends."),
        ("Installation by a technician",
         "If there is no fibre socket in your flat yet, a technician installs it. That takes about two hours and is free of charge. Somebody over 18 must be at home. "
         "You can move the appointment in the app until the evening before."),
    ),
    (
        says("Where do I find my wifi password?", "printed on the bottom"),
        says("how can I change my wifi password", "choose Wireless"),
        says("what is the best place for the router", "one metre above"),
        says("the light on my box is red", "no signal"),
        says("Is there an outage at the moment?", "northwire.example/status"),
        says("my connection is really slow", "northwire.example/speed"),
        says("How do I report a fault?", "0800 555 0142"),
        says("how long until a technician comes", "two working days"),
        says("I'm moving to a new flat next month", "four weeks"),
        says("What does it cost to move my connection?", "£25"),
        says("how long is the minimum contract", "Twelve months"),
        says("How do I cancel my contract?", "Contract, Cancel"),
        says("Do I have to return the router?", "14 days"),
        says("can I withdraw from the contract, I signed it yesterday", "within 14 days"),
        says("When do I get my bill?", "3rd of each month"),
        says("I can't pay my bill this month", "spread a bill"),
        says("how much is Fibre 300", "£32"),
        says("what's the upload speed of the 1000 plan", "300 Mbit/s"),
        says("Can I upgrade to a faster plan?", "faster plan at any time"),
        says("do you offer a static ip", "fixed IP"),
        says("How many TV channels are there?", "90 channels"),
        says("Can I keep my phone number?", "keep your old number"),
        says("do I have to be home for the installation", "at home"),
        says("Is the installation free?", "free of charge"),
        *near(
            "Do you sell mobile phone contracts?",
            "Can I use my own router?",
            "Do you support IPv6?",
            "My neighbour steals my wifi",
            "How do I set up parental controls?",
            "Do you offer business plans?",
            "Can I block spam calls?",
            "What is the name of your CEO?",
            "How do I open port 25?",
            "Is there a discount for pensioners?",
            "Does Netflix come with the TV package?",
            "How do I refer a friend?",
            "Can I change the name on my contract after marriage?",
            "How do I reset my email password?",
        ),
        *off("What time is it in Tokyo?", "How do I tie a tie?", "what should I wear today", "who invented the telephone"),
    ),
)  # fmt: skip

LIBRARY = Desk(
    "Bookwell, a city library",
    (
        ("Getting a library card",
         "Bring an identity card and a proof of address to any branch; the card is ready in five minutes. It is free under 18 and costs $20 a year for adults. A lost card costs $5."),
        ("How many things may I borrow, and for how long?",
         "Up to 30 items at once. Books are lent for four weeks, films and games for one week, magazines for two weeks."),
        ("Renewing loans",
         "Sign in on our website, open My loans and press Renew. You can renew three times unless somebody else has reserved the item. Games cannot be renewed."),
        ("Late fees",
         "There are no late fees for children. Adults pay 20 cents a day for each item, at most $10. From $15 on, the card is blocked until you have paid."),
        ("Reserving a book",
         "Click Reserve in the catalogue and choose a branch. We write to you when it is there and keep it for seven days. Reservations cost nothing."),
        ("E-books and audiobooks",
         "With the Lumen app you can borrow 10 e-books or audiobooks at a time for 21 days. They give themselves back, so there are never late fees. Kindle readers are not supported."),
        ("Computers, printing and wifi",
         "Every branch has free wifi and computers for 60 minutes a day. A printed page costs 10 cents in black and white and 40 cents in colour. Scanning to a USB stick is free."),
        ("Rooms for studying and meetings",
         "Study rooms for up to six people can be booked for three hours on the website, up to 14 days ahead. Eating is not allowed in them; drinks with a lid are."),
        ("If something is lost or damaged",
         "Tell us at the desk. You can replace a book with the same edition or pay its price plus $3 for the cover. Do not repair torn pages with tape."),
        ("Events for children",
         "Story time for three to five year olds is on Tuesday at 10 a.m. in the main library; no registration is needed. The chess club meets on Thursday at 4 p.m."),
        ("Branches and opening hours",
         "The main library, 1 Market Square, is open Monday to Saturday from 9 a.m. to 8 p.m. The branches in Eastfield and Mill Lane are open Tuesday to Friday from noon to 6 p.m. "
         "All have a book drop that can be used around the clock."),
        ("Donating books",
         "We take books that are less than five years old and in good condition, one box at a time, on Wednesday afternoons. We do not take encyclopaedias or video cassettes."),
    ),
    (
        says("How do I get a card?", "identity card"),
        says("what does membership cost for adults", "$20"),
        says("I lost my card", "lost card costs $5"),
        says("How long can I keep a book?", "four weeks"),
        says("how many items can i take home", "30 items"),
        says("how do I extend my loans", "press Renew"),
        says("can games be renewed?", "Games cannot be renewed"),
        says("How much do I pay if I bring a book back late?", "20 cents"),
        says("do kids pay fines", "no late fees for children"),
        says("my card has been blocked, why?", "From $15"),
        says("Can I reserve a book that is out?", "Reserve in the catalogue"),
        says("how long do you keep a reserved book for me", "seven days"),
        says("Can I read your e-books on a Kindle?", "Kindle readers are not supported"),
        says("how many audiobooks can I borrow", "10 e-books or audiobooks"),
        says("What does printing cost?", "10 cents"),
        says("is there wifi", "wifi"),
        says("Can I book a room for my study group?", "Study rooms"),
        says("may I eat in the study room?", "Eating is not allowed"),
        says("my dog chewed a library book, what now", "replace a book", "at the desk"),
        says("When is story time?", "Tuesday at 10 a.m."),
        says("is there a chess club", "chess club"),
        says("Is the main library open on Saturday?", "Monday to Saturday"),
        says("can I return books at night?", "book drop"),
        says("Do you take old books as a gift?", "less than five years old"),
        *near(
            "Do you have The Hobbit in stock?",
            "Can I borrow a laptop?",
            "Do you offer language courses?",
            "Are you hiring librarians?",
            "Do you lend musical instruments?",
            "Can I rent the hall for a wedding?",
            "Do you have newspapers from 1920?",
            "Is there a café in the library?",
            "Can I bring my cat?",
            "Do you do interlibrary loans?",
            "Who designed the building?",
            "Is there a 3D printer?",
            "Where can I park?",
            "Do you have a book club for adults?",
        ),
        *off("How do I train for a marathon?", "What's the price of gold?", "how many planets are there", "can you drive me home"),
    ),
)  # fmt: skip

FIT = (SHOP, SOFTWARE, CLINIC, HARBOR, BYTE)
HOLD_OUT = (GYM, PROVIDER, LIBRARY)
