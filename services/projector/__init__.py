"""The projector: keeps the catalogue, tables of SQL, up to date with the topics.

Consumes: the topics of `microservo.catalogue.mapping.TOPICS`, from where the database stands.
Produces: no topic; rows in the database of MICROSERVO_CATALOGUE_URL.

State: the database, with the offsets up to which it was written.

Delivery: exactly once: rows and offsets are written in one transaction, and what is written already is passed
over. A database that is away is waited for; meanwhile the log keeps what is to come.
"""
