"""Every setting of an instance, from the environment; docs/settings.md lists them and a test holds it to that."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read once at the start and handed down. `A1ZAP_` stands before each name, but for those that have a name of their own."""

    model_config = SettingsConfigDict(env_prefix="A1ZAP_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address the server listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the server listens on; 0 picks a free one.")
    data_dir: Path = Field(
        Path("data"), description="Folder of the private PostgreSQL, the master key and logs."
    )
    public_url: str | None = Field(
        None,
        description="Address under which people and providers reach this instance; default http://HOST:PORT.",
    )
    master_key: SecretStr | None = Field(
        None,
        description="32 bytes in base64 or hex that wrap all data keys; default: DATA_DIR/master.key, made at the first run.",
    )
    workers: int = Field(
        1, ge=0, le=64, description="Worker processes that `a1zap serve` starts beside itself."
    )
    concurrency: int = Field(32, ge=1, le=1000, description="Chats that one worker works on at once.")
    lease_s: float = Field(
        30.0, ge=1, le=600, description="Seconds after which a silent worker's chats go to another."
    )
    attempts_max: int = Field(
        8, ge=1, le=100, description="Failures after which a lane entry becomes a dead letter."
    )
    poll_s: float = Field(1.0, gt=0, le=60, description="Seconds between looks where no wake-up comes.")
    plan: str = Field("enterprise", description="Plan of a new owner: free, pro or enterprise (unlimited).")
    is_sign_up_open: bool = Field(False, description="May anybody make an account? The first one always may.")
    is_demo_wanted: bool = Field(True, description="Make two demo agents at the first run.")
    egress_allow: str = Field(
        "", description="Private ranges that requests may go to, as CIDRs with commas between."
    )
    smtp_listen: str = Field(
        "",
        description="Where the own mail server delivers by SMTP: 127.0.0.1:2525 or the path of a socket; empty: nowhere.",
    )
    lmtp_listen: str = Field(
        "", description="The same for LMTP: 127.0.0.1:2424 or the path of a socket; empty: nowhere."
    )
    smtp_trusted: str = Field(
        "127.0.0.0/8,::1",
        description="Mail servers that may deliver by SMTP and LMTP, as CIDRs with commas between; never the Internet.",
    )
    smtp_tls_cert: Path | None = Field(
        None, description="Certificate file that turns STARTTLS on for SMTP and LMTP."
    )
    smtp_tls_key: Path | None = Field(None, description="Its key file; default: in the certificate file.")
    mail_domains: str = Field(
        "",
        description="Domains whose addresses owners may connect to the SMTP and LMTP door, as acme.com or, "
        "for one owner only, acme.com=owner@acme.com, with commas between; empty: any, while sign-up is closed.",
    )
    mail_authserv_id: str = Field(
        "",
        description="The name under which the own mail server writes Authentication-Results; empty: none is believed.",
    )
    log_level: str = Field("info", description="debug, info, warning or error.")
    is_log_json: bool = Field(False, description="One JSON object a line instead of text.")
    metrics_token: SecretStr | None = Field(None, description="If set, /metrics wants it as Bearer token.")
    model_deadline_s: float = Field(
        60.0, gt=0, le=600, description="Seconds a model and its fallbacks may take in all."
    )
    default_model: str | None = Field(
        None,
        description="Model of agents that name none, as provider:model; default: the first provider with a key.",
    )

    storage_url: str | None = Field(
        None, description="Bucket for files, as s3://bucket/prefix; default: the folder DATA_DIR/files."
    )
    storage_endpoint: str | None = Field(
        None, description="Address of the S3 service, where it is not AWS itself, as http://127.0.0.1:9000."
    )
    storage_region: str = Field("us-east-1", description="Region of the bucket.")
    storage_access_key_id: SecretStr | None = Field(
        None, description="Key id for the bucket; without it the machine's own role is used."
    )
    storage_secret_access_key: SecretStr | None = Field(None, description="Secret of that key.")
    file_max_mb: int = Field(
        100, ge=1, le=2000, description="MiB that one file may have; images, audio and visitors' files less."
    )
    file_link_s: float = Field(
        900.0, ge=10, le=86_400, description="Seconds for which a link to a file is good."
    )
    transcription_model: str | None = Field(
        None,
        description="Writes voice messages down: a model behind OPENAI_BASE_URL, as whisper-1; default: none does.",
    )

    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="PostgreSQL 15 or newer to use instead of the private one. Port 6543 is taken for a transaction pooler.",
    )
    database_direct_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_DIRECT_URL"),
        description="The same database without a transaction pooler in between, for wake-ups and migrations.",
    )
    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("OPENAI_API_KEY"),
        description="Key for OpenAI or whatever speaks its API.",
    )
    openai_base_url: str = Field(
        "https://api.openai.com/v1",
        validation_alias=AliasChoices("OPENAI_BASE_URL"),
        description="Where that API is.",
    )
    anthropic_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("ANTHROPIC_API_KEY"), description="Key for Anthropic."
    )
    anthropic_base_url: str = Field(
        "https://api.anthropic.com",
        validation_alias=AliasChoices("ANTHROPIC_BASE_URL"),
        description="Where that API is.",
    )
    google_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        description="Key for Google Gemini.",
    )
    google_base_url: str = Field(
        "https://generativelanguage.googleapis.com",
        validation_alias=AliasChoices("GOOGLE_BASE_URL"),
        description="Where that API is.",
    )
    stack_project_id: str | None = Field(
        None, validation_alias=AliasChoices("STACK_PROJECT_ID"), description="Turns sign-in by Stack Auth on."
    )
    stack_api_url: str = Field(
        "https://api.stack-auth.com",
        validation_alias=AliasChoices("STACK_API_URL"),
        description="Where Stack Auth is.",
    )

    @property
    def base_url(self) -> str:
        """Where this instance is reached, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def smtp_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """`smtp_trusted`, parsed. Raises ValueError naming the part that is no network."""
        return _networks(self.smtp_trusted)

    @property
    def egress_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """`egress_allow`, parsed. Raises ValueError naming the part that is no network."""
        return _networks(self.egress_allow)


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def secret(value: SecretStr | None) -> str | None:
    """The text behind a secret setting; None where it is not set or empty."""
    return None if value is None else value.get_secret_value() or None


def variable_names(field: str) -> tuple[str, ...]:
    """The environment variables that set a field, the first one being its own name."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"A1ZAP_{field.upper()}",)
