"""The columns that the rules were tuned on."""
import uuid

import make_columns as m

LOCALES = {"en_US": "en", "en_GB": "en", "de_DE": "de", "fr_FR": "fr", "es_ES": "es", "it_IT": "it"}
CUSTOMER = ("customer_id", "first_name", "last_name", "email", "city", "created_at")


def fill(c):
    """Positives first, a subject at a time, then traps."""
    contacts(c)
    people(c)
    identities(c)
    money(c)
    secrets(c)
    special(c)
    numbers_that_look_alike(c)
    texts_that_look_alike(c)


def contacts(c):
    names = {"en_US": ["email", "Email Address", "contact", "col_3"], "en_GB": ["emailAddress", "primary_email"],
             "de_DE": ["E-Mail", "mailadresse"], "fr_FR": ["courriel", "adresse_mail"],
             "es_ES": ["correo", "correo_electronico"], "it_IT": ["email_cliente", "field7"]}
    for locale, columns in names.items():
        fake = c.faker(locale)
        for place, name in enumerate(columns):
            c.add(name, fake.email, "pii.email", beside=CUSTOMER, nulls=0.1 * place, noise=0.1 * place)
    fake = c.faker("en_US")
    c.add("login", fake.email, "pii.email")
    c.add("reply_to", lambda: f"{fake.name()} <{fake.email()}>", "pii.email", noise=0.3)
    c.add("username", lambda: fake.email() if c.random.random() < 0.6 else fake.user_name(), "pii.email")
    phones = {"en_US": ["phone", "mobile_phone", "c12"], "en_GB": ["telephone", "contact_number"],
              "de_DE": ["telefon", "Rufnummer"], "fr_FR": ["telephone_portable", "tel"],
              "es_ES": ["telefono", "movil"], "it_IT": ["telefono_casa", "cellulare_tel"]}
    for locale, columns in phones.items():
        fake = c.faker(locale)
        for place, name in enumerate(columns):
            c.add(name, fake.phone_number, "pii.phone", beside=CUSTOMER, nulls=0.15 * place, noise=0.1 * place)
    c.add("phone", lambda: c.random.randint(2012000000, 9899999999), "pii.phone", kind="bigint")
    c.add("msisdn", lambda: f"49151{m.digits(c.random, 8)}", "pii.phone")
    c.add("x4", lambda: f"+44 7{m.digits(c.random, 3)} {m.digits(c.random, 6)}", "pii.phone")
    c.add("fax_number", c.faker("en_US").basic_phone_number, "pii.phone", noise=0.3)
    fake = c.faker("en_US")
    c.add("client_ip", fake.ipv4_public, "pii.ip", table="access_log")
    c.add("remote_addr", fake.ipv4, "pii.ip", nulls=0.3)
    c.add("ip", fake.ipv6, "pii.ip")
    c.add("src", lambda: fake.ipv4() if c.random.random() < 0.7 else fake.ipv6(), "pii.ip", table="flows")
    c.add("f9", fake.ipv4_public, "pii.ip")
    c.add("peer", lambda: f"10.0.{c.random.randint(0, 9)}.{c.random.randint(65, 250)}", "pii.ip")
    c.add("mac_address", fake.mac_address, "pii.mac")
    c.add("device", lambda: fake.mac_address().upper().replace(":", "-"), "pii.mac", nulls=0.4)
    c.add("c1", fake.mac_address, "pii.mac")
    c.add("username", fake.user_name, "pii.username")
    c.add("UserName", lambda: fake.user_name() + str(c.random.randint(1, 99)), "pii.username", nulls=0.2)
    c.add("benutzername", c.faker("de_DE").user_name, "pii.username")
    c.add("screen_name", lambda: "@" + fake.user_name(), "pii.username")


def people(c):
    first = {"en_US": "first_name", "en_GB": "Forename", "de_DE": "vorname", "fr_FR": "prenom", "es_ES": "primer_nombre_completo",
             "it_IT": "firstName"}
    last = {"en_US": "last_name", "en_GB": "surname", "de_DE": "Nachname", "fr_FR": "nom_famille", "es_ES": "apellidos",
            "it_IT": "cognome"}
    for place, locale in enumerate(LOCALES):
        fake = c.faker(locale)
        c.add(first[locale], fake.first_name, "pii.name", table="customers", nulls=0.05 * place)
        c.add(last[locale], fake.last_name, "pii.name", table="people", noise=0.04 * place)
        c.add("name", fake.name, "pii.name", table=["customers", "employees", "patients"][place % 3])
        c.add(["full_name", "c2", "passenger", "holder", "assigned_to", "manager"][place], fake.name, "pii.name")
    fake = c.faker("en_US")
    c.add("customer", lambda: f"{fake.last_name()}, {fake.first_name()}", "pii.name", nulls=0.2)
    c.add("cardholder_name", lambda: fake.name().upper(), "pii.name", table="payments")
    streets = {"en_US": "address", "en_GB": "address_line_1", "de_DE": "strasse", "fr_FR": "adresse", "es_ES": "direccion",
               "it_IT": "indirizzo"}
    codes = {"en_US": "zip", "en_GB": "postcode", "de_DE": "plz", "fr_FR": "code_postal", "es_ES": "codigo_postal",
             "it_IT": "cap"}
    born = {"en_US": "dob", "en_GB": "date_of_birth", "de_DE": "geburtsdatum", "fr_FR": "date_naissance",
            "es_ES": "fecha_nacimiento", "it_IT": "data_nascita"}
    written = {"en_US": "%m/%d/%Y", "en_GB": "%d/%m/%Y", "de_DE": "%d.%m.%Y", "fr_FR": "%d/%m/%Y", "es_ES": "%Y-%m-%d",
               "it_IT": "%d-%m-%Y"}
    for place, locale in enumerate(LOCALES):
        fake = c.faker(locale)
        c.add(streets[locale], fake.street_address, "pii.address", beside=CUSTOMER, nulls=0.05 * place, noise=0.03 * place)
        c.add(codes[locale], fake.postcode, "pii.postal_code", beside=CUSTOMER, nulls=0.05 * place)
        c.add(born[locale], lambda: fake.date_of_birth().strftime(written[locale]), "pii.birth_date", nulls=0.1)
    fake = c.faker("en_US")
    c.add("shipping_address", lambda: fake.address().replace("\n", ", "), "pii.address", table="orders")
    c.add("f3", fake.street_address, "pii.address")
    c.add("zip", lambda: c.random.randint(501, 99950), "pii.postal_code", kind="bigint", table="customers")
    c.add("ship_zip", c.faker("en_US").zipcode_plus4, "pii.postal_code")
    c.add("k8", c.faker("en_GB").postcode, "pii.postal_code")
    c.add("postal", c.faker("en_CA").postcode, "pii.postal_code")
    c.add("birth_year", lambda: c.random.randint(1935, 2008), "pii.birth_date", kind="bigint")
    c.add("birthday", lambda: fake.date_of_birth().isoformat() + " 00:00:00", "pii.birth_date", kind="timestamp")
    c.add("lat", lambda: f"{c.random.uniform(-60, 70):.6f}", "pii.location", kind="double", beside=("lon", "user_id"), table="pings")
    c.add("lon", lambda: f"{c.random.uniform(-170, 170):.6f}", "pii.location", kind="double", beside=("lat", "user_id"), table="pings")
    c.add("home_latitude", lambda: f"{c.random.uniform(47, 55):.5f}", "pii.location", kind="double",
          beside=("home_longitude",), table="riders", nulls=0.2)
    c.add("gps", lambda: f"{c.random.uniform(47, 55):.5f}, {c.random.uniform(6, 15):.5f}", "pii.location")
    c.add("last_seen_at_point", lambda: f"POINT ({c.random.uniform(6, 15):.5f} {c.random.uniform(47, 55):.5f})", "pii.location")


def identities(c):
    r = c.random
    us, es, it, br = c.faker("en_US"), c.faker("es_ES"), c.faker("it_IT"), c.faker("pt_BR")
    c.add("ssn", us.ssn, "pii.national_id")
    c.add("social_security_number", lambda: us.ssn().replace("-", ""), "pii.national_id", nulls=0.3)
    c.add("tax_id", us.ssn, "pii.national_id", noise=0.1)
    c.add("f2", us.ssn, "pii.national_id")
    c.add("nino", lambda: m.nino(r), "pii.national_id", nulls=0.2)
    c.add("ni_number", lambda: " ".join([(n := m.nino(r))[:2], n[2:4], n[4:6], n[6:8], n[8:]]), "pii.national_id")
    c.add("steuer_id", lambda: m.de_tax_id(r), "pii.national_id", noise=0.1)
    c.add("identifikation", lambda: m.de_tax_id(r), "pii.national_id")
    c.add("nir", lambda: m.nir(r), "pii.national_id")
    c.add("c9", lambda: m.nir(r), "pii.national_id", nulls=0.2)
    c.add("dni", es.nif, "pii.national_id")
    c.add("documento", es.nie, "pii.national_id", noise=0.2)
    c.add("codice_fiscale", it.ssn, "pii.national_id", nulls=0.1)
    c.add("code", it.ssn, "pii.national_id")
    c.add("bsn", lambda: m.bsn(r), "pii.national_id")
    c.add("bsn_nummer", lambda: m.bsn(r), "pii.national_id", kind="bigint")
    c.add("cpf", br.cpf, "pii.national_id", noise=0.15)
    c.add("cliente_doc", lambda: br.cpf().replace(".", "").replace("-", ""), "pii.national_id")
    c.add("passport_number", lambda: r.choice("ABCEXLM") + m.digits(r, 8), "pii.passport", nulls=0.3)
    c.add("reisepass", lambda: "C" + m.secret(r, "CFGHJKLMNPRTVWXYZ0123456789", 7) + m.digits(r, 1), "pii.passport", noise=0.1)
    c.add("passport_no", lambda: m.digits(r, 9), "pii.passport")


def money(c):
    r = c.random

    def grouped(text):
        return " ".join(text[i:i + 4] for i in range(0, len(text), 4))
    visa = lambda: m.card_number(r, "4" + m.digits(r, 3), 16)
    c.add("card_number", visa, "financial.card")
    c.add("cc_num", lambda: m.card_number(r, r.choice(["51", "55", "2221", "37", "4"]), 16) if r.random() < 0.8 else m.card_number(r, "37", 15),
          "financial.card", nulls=0.2, noise=0.05)
    c.add("payment", lambda: grouped(visa()), "financial.card", noise=0.2)
    c.add("f1", lambda: m.card_number(r, "5412", 16), "financial.card")
    c.add("pan", lambda: m.card_number(r, "6011", 16), "financial.card", kind="bigint")
    c.add("kreditkarte", lambda: grouped(m.card_number(r, "53", 16)), "financial.card", noise=0.4)
    c.add("amex", lambda: m.card_number(r, r.choice(["34", "37"]), 15), "financial.card")
    c.add("cvv", lambda: m.digits(r, 3), "financial.cvv")
    c.add("card_security_code", lambda: m.digits(r, 3), "financial.cvv", nulls=0.4)
    c.add("cvc2", lambda: m.digits(r, 4), "financial.cvv")
    c.add("cvv", lambda: r.randint(100, 999), "financial.cvv", kind="bigint")
    for name, country, length, noise in (("iban", "DE", 18, 0), ("IBAN_Nr", "GB", 0, 0.2), ("account", "FR", 23, 0.1),
                                         ("c6", "NL", 0, 0), ("bank_iban", "ES", 20, 0.3), ("konto", "IT", 0, 0)):
        prefix = {"GB": "NWBK", "NL": "ABNA", "IT": "X"}.get(country, "")
        rest = length or {"GB": 14, "NL": 10, "IT": 22}[country]
        c.add(name, lambda: m.iban(r, country, prefix + m.digits(r, rest)), "financial.iban", noise=noise)
    c.add("iban_printed", lambda: grouped(m.iban(r, "AT", m.digits(r, 16))), "financial.iban")
    bics = ["DEUTDEFF", "COBADEFFXXX", "NWBKGB2L", "BNPAFRPP", "CHASUS33", "INGBNL2A", "BCITITMM", "CAIXESBBXXX", "UBSWCHZH80A"]
    c.add("bic", lambda: r.choice(bics), "financial.bic")
    c.add("swift_code", lambda: r.choice(bics), "financial.bic", nulls=0.3)
    c.add("account_number", lambda: m.digits(r, 10), "financial.account")
    c.add("kontonummer", lambda: m.digits(r, 9), "financial.account", nulls=0.2)
    c.add("sort_code", lambda: f"{m.digits(r, 2)}-{m.digits(r, 2)}-{m.digits(r, 2)}", "financial.account")
    c.add("bank_account_no", lambda: r.randint(10**7, 10**11), "financial.account", kind="bigint")


def secrets(c):
    r = c.random
    fake = c.faker("en_US")
    c.add("password", lambda: fake.password(length=r.randint(8, 16)), "secret.password")
    c.add("passwd", lambda: r.choice(["hunter2", "letmein!", "Passw0rd", "qwerty123", "S3cret!!", "dragon77"]), "secret.password")
    c.add("password_hash", lambda: m.bcrypt(r), "secret.password")
    c.add("credential", lambda: m.bcrypt(r), "secret.password", nulls=0.2)
    c.add("api_key", lambda: m.secret(r, m.ALNUM, 32), "secret.api_key")
    c.add("key", lambda: m.secret(r, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, "AKIA"), "secret.api_key")
    c.add("github", lambda: m.secret(r, m.ALNUM, 36, "ghp_"), "secret.api_key", nulls=0.5)
    c.add("client_secret", lambda: m.secret(r, m.B64, 40), "secret.api_key")
    c.add("stripe", lambda: m.secret(r, m.ALNUM, 24, "sk_live_"), "secret.api_key")
    c.add("notes", lambda: m.secret(r, m.ALNUM, 36, "ghp_") if r.random() < 0.15 else fake.sentence(), "secret.api_key", rows=80)
    c.add("jwt", lambda: m.jwt(r), "secret.jwt")
    c.add("authorization", lambda: m.jwt(r), "secret.jwt", nulls=0.3)
    c.add("c5", lambda: m.jwt(r), "secret.jwt")
    c.add("session_token", lambda: m.secret(r, m.HEX, 64), "secret.token")
    c.add("refresh_token", lambda: m.secret(r, m.B64, 43), "secret.token", nulls=0.2)
    c.add("access_token", lambda: str(uuid.UUID(int=r.getrandbits(128))), "secret.token")
    c.add("private_key", lambda: m.PEM.format("RSA") + m.secret(r, m.ALNUM, 60), "secret.private_key")
    c.add("blob", lambda: m.PEM.format("OPENSSH") + m.secret(r, m.ALNUM, 60), "secret.private_key", noise=0.5)


def special(c):
    r = c.random
    c.add("diagnosis_code", lambda: m.icd10(r), "health.icd10")
    c.add("icd10", lambda: m.icd10(r).replace(".", ""), "health.icd10", nulls=0.2)
    c.add("code", lambda: m.icd10(r), "health.icd10", table="encounters")
    c.add("diagnosis", lambda: r.choice(m.DIAGNOSES), "health.diagnosis", table="patients")
    c.add("medical_condition", lambda: r.choice(m.DIAGNOSES), "health.diagnosis", nulls=0.4)
    c.add("allergies", lambda: r.choice(["Penicillin", "Peanuts", "Latex", "Shellfish", "Pollen"]), "health.diagnosis", nulls=0.6)
    c.add("medication", lambda: r.choice(m.DRUGS), "health.medication")
    c.add("prescription", lambda: r.choice(m.DRUGS), "health.medication", noise=0.1)
    c.add("blood_type", lambda: r.choice(m.BLOOD), "health.blood_type")
    c.add("blutgruppe", lambda: r.choice(m.BLOOD), "health.blood_type", nulls=0.3)
    c.add("mrn", lambda: m.digits(r, 8), "health.record_number")
    c.add("medical_record_number", lambda: "MRN-" + m.digits(r, 7), "health.record_number")
    c.add("gender", lambda: r.choice(["M", "F"]), "demographic.gender")
    c.add("sex", lambda: r.choice(["male", "female"]), "demographic.gender")
    c.add("geschlecht", lambda: r.choice(["männlich", "weiblich", "divers"]), "demographic.gender")
    c.add("sexe", lambda: r.choice(["H", "F"]), "demographic.gender", nulls=0.2)
    c.add("c4", lambda: r.choice(["Male", "Female", "Non-binary"]), "demographic.gender")
    c.add("ethnicity", lambda: r.choice(["White", "Black", "Asian", "Hispanic", "Mixed"]), "demographic.ethnicity")
    c.add("race", lambda: r.choice(["White", "Black", "Asian", "Pacific Islander"]), "demographic.ethnicity", table="patients")
    c.add("religion", lambda: r.choice(["Catholic", "Muslim", "Jewish", "Hindu", "None"]), "demographic.religion")
    c.add("konfession", lambda: r.choice(["evangelisch", "römisch-katholisch", "konfessionslos"]), "demographic.religion")
    c.add("marital_status", lambda: r.choice(["single", "married", "divorced", "widowed"]), "demographic.marital_status")
    c.add("estado_civil", lambda: r.choice(["soltero", "casada", "viuda", "divorciado"]), "demographic.marital_status")


def numbers_that_look_alike(c):
    r = c.random

    def whole(name, make, trap, table="records", kind="bigint", **more):
        c.add(name, make, (), table=table, kind=kind, trap=trap, **more)
    for name in ("year", "model_year", "fiscal_year"):
        whole(name, lambda: r.randint(1990, 2026), "financial.cvv")
    for name, low, high in (("age", 18, 99), ("quantity", 100, 999), ("score", 300, 850), ("flight_number", 1, 9999),
                            ("area_code", 201, 989), ("cvc_year", 2020, 2030), ("http_status", 100, 599), ("csc_rate", 100, 999)):
        whole(name, lambda: r.randint(low, high), "financial.cvv")
    for name in ("order_id", "invoice_no", "id", "ticket_number", "tracking_id"):
        whole(name, lambda: r.randint(2_000_000_000, 9_999_999_999), "pii.phone")
    for name in ("created_at", "event_ts", "epoch", "timestamp_ms"):
        whole(name, lambda: r.randint(1_600_000_000, 1_799_999_999) * (1000 if "ms" in name else 1), "pii.phone")
    for name in ("order_number", "reference", "transaction_id"):
        whole(name, lambda: m.digits(r, 16), "financial.card", kind="text")
    whole("order_id", lambda: "4" + m.digits(r, 15), "financial.card")
    whole("imei", lambda: (b := "35" + m.digits(r, 12)) + m.luhn_digit(b), "financial.card", kind="text")
    whole("iccid", lambda: (b := "8949" + m.digits(r, 14)) + m.luhn_digit(b), "financial.card", kind="text")
    whole("test_card", lambda: r.choice(["4111111111111111", "4242424242424242", "5555555555554444", "378282246310005"]),
          "financial.card", kind="text", table="fixtures")
    whole("ean", lambda: m.digits(r, 13), "financial.card", kind="text")
    whole("isbn", lambda: "978-" + f"{r.randint(0, 9)}-{m.digits(r, 3)}-{m.digits(r, 5)}-{m.digits(r, 1)}", "pii.phone", kind="text")
    whole("gtin", lambda: m.digits(r, 14), "financial.card", kind="text")
    whole("customer_no", lambda: r.randint(100_000_000, 899_999_999), "pii.national_id")
    whole("part_number", lambda: f"{m.digits(r, 3)}-{m.digits(r, 4)}-{m.digits(r, 2)}", "pii.national_id", kind="text")
    whole("seq", iter(range(100_000_000, 200_000_000)).__next__, "pii.national_id")
    whole("batch", lambda: m.digits(r, 11), "pii.national_id", kind="text")
    whole("meter_id", lambda: m.digits(r, 12), "pii.national_id", kind="text")
    for name, low, high in (("id", 10_000, 99_999), ("population", 10_000, 99_999), ("salary_band", 10_000, 99_999), ("zipped_bytes", 10_000, 99_999)):
        whole(name, lambda: r.randint(low, high), "pii.postal_code")
    for name in ("price", "amount", "ratio", "temperature", "score"):
        whole(name, lambda: f"{r.uniform(-90, 90):.4f}", "pii.location", kind="double")
    whole("lat", lambda: f"{r.uniform(20, 60):.5f}", "pii.location", kind="double", table="airports", beside=("lon", "faa"))
    whole("lon", lambda: f"{r.uniform(-120, -70):.5f}", "pii.location", kind="double", table="airports", beside=("lat", "faa"))
    whole("lat_ms", lambda: r.randint(1, 400), "pii.location", beside=("lon_ms",))
    whole("latency", lambda: f"{r.uniform(0, 90):.3f}", "pii.location", kind="double", beside=("longest",))
    whole("birth_weight", lambda: r.randint(2400, 4400), "pii.birth_date")
    whole("birth_order", lambda: r.randint(1, 5), "pii.birth_date")
    whole("hire_date", lambda: f"{r.randint(1990, 2025)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}", "pii.birth_date", kind="text")
    whole("account_id", lambda: r.randint(10**7, 10**9), "financial.account")
    whole("account_balance", lambda: r.randint(10**5, 10**7), "financial.account")
    whole("token_count", lambda: r.randint(10, 4000), "secret.token")
    whole("gender_ratio", lambda: f"{r.uniform(0, 1):.3f}", "demographic.gender", kind="double")
    whole("religion_count", lambda: r.randint(0, 50), "demographic.religion")
    whole("phone_count", lambda: r.randint(0, 5), "pii.phone")
    whole("email_count", lambda: r.randint(0, 90), "pii.email")
    whole("email_sent_at", lambda: f"2025-{r.randint(1, 12):02d}-11 10:{r.randint(10, 59)}:00", "pii.email", kind="timestamp")
    whole("password_changed_at", lambda: f"2025-{r.randint(1, 12):02d}-11 10:{r.randint(10, 59)}:00", "secret.password", kind="timestamp")
    whole("has_password", lambda: r.choice(["true", "false"]), "secret.password", kind="boolean")


def texts_that_look_alike(c):
    r = c.random
    fake, german = c.faker("en_US"), c.faker("de_DE")

    def text(name, make, trap, table="records", **more):
        c.add(name, make, (), table=table, trap=trap, **more)
    text("product_name", lambda: r.choice(["Jack Daniel's", "Ben & Jerry's", "Mary Jane Shoes", "Anna Sofa", "Henry Hoover"]), "pii.name", "products")
    text("name", lambda: r.choice(["Oak Table", "Desk Lamp", "Garden Chair", "Wool Rug", "Steel Shelf"]), "pii.name", "products")
    text("name", lambda: f"{fake.city()} {r.choice(['Regional', 'Intl', 'Municipal'])}", "pii.name", "airports")
    text("name", fake.company, "pii.name", "companies")
    text("city", fake.city, "pii.name")
    text("city", german.city, "pii.name")
    text("company", fake.company, "pii.name")
    text("country", fake.country, "pii.name")
    text("job_title", fake.job, "pii.name")
    text("description", fake.sentence, "pii.name")
    text("color", fake.color_name, "pii.name")
    text("month", fake.month_name, "pii.name")
    text("team_name", lambda: r.choice(["Red Sox", "Giants", "Lakers", "Arsenal", "Bayern"]), "pii.name", "teams")
    text("carrier_name", lambda: r.choice(["Delta Air Lines", "Alaska Airlines", "JetBlue Airways", "United Air Lines"]), "pii.name", "airlines")
    text("category", lambda: r.choice(["Home Goods", "Toys", "Garden Tools", "Sports"]), "pii.name")
    text("file_name", lambda: fake.file_name(), "pii.name")
    text("tailnum", lambda: f"N{r.randint(100, 999)}{r.choice(['AA', 'UA', 'JB', 'DN'])}", "pii.passport", "flights")
    text("flight", lambda: f"{r.choice(['AA', 'LH', 'BA'])}{r.randint(100, 9999)}", "pii.passport", "flights")
    text("seat", lambda: f"{r.choice('ABCDEF')}{r.randint(10, 40)}", "health.icd10")
    text("gate", lambda: f"{r.choice('ABCDE')}{r.randint(10, 60)}", "health.icd10")
    text("aircraft", lambda: r.choice(["A320", "B737", "A321", "E190", "B777"]), "health.icd10")
    text("grade", lambda: r.choice(["A+", "A-", "B+", "B-", "C+", "A", "B"]), "health.blood_type")
    text("rating", lambda: r.choice(["AA", "A+", "BBB", "A-", "AAA", "BB+"]), "health.blood_type")
    text("size", lambda: r.choice(["S", "M", "L", "XL"]), "demographic.gender")
    text("day", lambda: r.choice(["M", "T", "W", "F"]), "demographic.gender")
    text("flag", lambda: r.choice(["M", "F"]), "demographic.gender")
    text("race", lambda: r.choice(["Monaco Grand Prix", "Boston Marathon", "Tour de France"]), "demographic.ethnicity", "results")
    text("origin", lambda: r.choice(["JFK", "LGA", "EWR"]), "demographic.ethnicity", "flights")
    text("uuid", lambda: str(uuid.UUID(int=r.getrandbits(128))), "secret.token")
    text("request_id", lambda: str(uuid.UUID(int=r.getrandbits(128))), "secret.token")
    for name, length in (("sha256", 64), ("commit", 40), ("md5", 32), ("checksum", 64), ("etag", 32), ("token_hash", 64), ("file_digest", 64)):
        text(name, lambda: m.secret(r, m.HEX, length), "secret.token")
    text("trace_id", lambda: m.secret(r, m.HEX, 32), "secret.token")
    text("slug", lambda: fake.slug(), "secret.token")
    text("token_type", lambda: r.choice(["bearer", "refresh", "basic"]), "secret.token")
    text("version", lambda: f"{r.randint(0, 9)}.{r.randint(0, 20)}.{r.randint(0, 30)}.{r.randint(0, 9)}", "pii.ip")
    text("app_version", lambda: f"{r.randint(0, 9)}.{r.randint(0, 20)}.{r.randint(0, 30)}.{r.randint(0, 9)}", "pii.ip")
    text("c8", lambda: f"{r.randint(0, 9)}.{r.randint(0, 20)}.{r.randint(0, 30)}.{r.randint(0, 9)}", "pii.ip")
    text("build", lambda: f"10.0.{r.randint(1000, 30000)}.{r.randint(1, 999)}", "pii.ip")
    text("time", lambda: f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}:{r.randint(0, 59):02d}", "pii.ip")
    text("oid", lambda: "1.3.6.1." + ".".join(str(r.randint(1, 99)) for _ in range(4)), "pii.ip")
    text("handle_image", lambda: f"icon{r.randint(1, 9)}@2x.png", "pii.email")
    text("message_id", lambda: f"<{m.secret(r, m.ALNUM, 20)}@mail.example.com>", "pii.email")
    text("package", lambda: f"@{fake.user_name()}/{fake.word()}", "pii.email")
    text("repository", lambda: f"git@github.com:{fake.user_name()}/{fake.word()}.git", "pii.email")
    text("email_domain", fake.domain_name, "pii.email")
    text("url", fake.url, "pii.email")
    text("phone_model", lambda: r.choice(["iPhone 12", "Pixel 7", "Galaxy S21", "Nokia 3310"]), "pii.phone")
    text("phone_type", lambda: r.choice(["home", "mobile", "work"]), "pii.phone")
    text("date", lambda: f"{r.randint(1, 28):02d}-{r.randint(1, 12):02d}-{r.randint(1990, 2026)}", "pii.phone")
    text("c3", lambda: f"2025-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}", "pii.phone")
    text("interval", lambda: f"{r.randint(100, 999)}-{r.randint(100, 999)}", "pii.phone")
    text("gift_card", lambda: m.digits(r, 16), "financial.card")
    text("card_type", lambda: r.choice(["VISA", "MC", "AMEX"]), "financial.card")
    text("card_expiry", lambda: f"{r.randint(1, 12):02d}/{r.randint(25, 31)}", "financial.card")
    text("cvv_response", lambda: r.choice(["M", "N", "P"]), "financial.cvv")
    text("sku", lambda: m.secret(r, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 8), "financial.bic")
    text("code", lambda: m.secret(r, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 11), "financial.bic")
    text("vat_number", lambda: "DE" + m.digits(r, 9), "financial.iban")
    text("contract", lambda: "GB" + m.digits(r, 20), "financial.iban")
    text("room", lambda: f"{r.randint(1, 9)}{r.choice('ABC')} {r.randint(1, 9)}", "pii.postal_code")
    text("weight", lambda: f"{r.randint(1000, 9999)} kg", "pii.postal_code")
    text("note", lambda: f"{r.randint(2, 9)} items for the garden", "pii.address")
    text("agenda", lambda: f"Item {r.randint(1, 20)}: budget review", "pii.address")
    text("web_address", fake.url, "pii.address")
    text("username_format", lambda: r.choice(["first.last", "flast"]), "pii.username")
    text("login_method", lambda: r.choice(["sso", "password", "oauth"]), "pii.username")
    text("birth_country", fake.country, "pii.birth_date")
    text("pwd", lambda: f"/srv/app/{fake.word()}", "secret.password")
    text("password_policy", lambda: r.choice(["strong", "weak policy"]), "secret.password")
    text("fault_diagnosis_code", lambda: f"P0{m.digits(r, 3)}", "health.icd10", "vehicles")
    text("drug_test_date", lambda: f"2025-{r.randint(1, 12):02d}-11", "health.medication")
    text("passport_country", fake.country_code, "pii.passport")
