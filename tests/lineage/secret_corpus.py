"""Real-shaped secrets and innocent values, for the redaction tests.

Secrets are made when a test runs, from a seed and a shape: a token in the source would set off every scanner that reads
this repository, and would be one token only.  In a template, `{}` is where the secret stands.
"""

import base64
import json
import random
import string
import uuid

ALNUM = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
URL_SAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"
HEX = "0123456789abcdef"


def _chars(chance: random.Random, alphabet: str, length: int) -> str:
    """Random characters, letters and digits among them, that neither begin nor end with a delimiter."""
    while True:
        text = "".join(chance.choice(alphabet) for _ in range(length))
        mixed = all(any(kind(c) for c in text) or not any(map(kind, alphabet)) for kind in (str.isdigit, str.isalpha))
        if (mixed or length < 6) and text[0].isalnum() and text[-1].isalnum():
            return text


# name -> (what is fixed at the beginning, alphabet, how many characters follow)
TOKENS: dict[str, tuple[str, str, int]] = {
    "aws access key": ("AKIA", UPPER, 16),
    "aws temporary key": ("ASIA", UPPER, 16),
    "github classic": ("gh" + "p_", ALNUM, 36),
    "github oauth": ("gh" + "o_", ALNUM, 36),
    "github server": ("gh" + "s_", ALNUM, 36),
    "github fine-grained": ("github" + "_pat_", ALNUM + "_", 82),
    "gitlab": ("gl" + "pat-", URL_SAFE, 20),
    "gitlab deploy": ("gl" + "dt-", URL_SAFE, 20),
    "openai classic": ("sk" + "-", ALNUM, 48),
    "openai project": ("sk" + "-proj-", URL_SAFE, 156),
    "openai short project": ("sk" + "-proj-", URL_SAFE, 48),
    "openai service": ("sk" + "-svcacct-", URL_SAFE, 156),
    "anthropic": ("sk" + "-ant-api03-", URL_SAFE, 95),
    "anthropic admin": ("sk" + "-ant-admin01-", URL_SAFE, 95),
    "anthropic oauth": ("sk" + "-ant-oat01-", URL_SAFE, 80),
    "openrouter": ("sk" + "-or-v1-", HEX, 64),
    "hugging face": ("hf" + "_", ALNUM, 34),
    "slack bot": ("xox" + "b-", string.digits + "-", 24),
    "slack app": ("xapp" + "-1-", UPPER, 11),
    "google api": ("AI" + "za", URL_SAFE, 35),
    "google oauth": ("ya" + "29.", URL_SAFE, 120),
    "google client": ("GOC" + "SPX-", URL_SAFE, 28),
    "stripe": ("sk" + "_live_", ALNUM, 24),
    "stripe restricted": ("rk" + "_test_", ALNUM, 24),
    "sendgrid": ("S" + "G.", ALNUM, 22),
    "npm": ("np" + "m_", ALNUM, 36),
    "pypi": ("py" + "pi-AgEIcHlwaS5vcmc", URL_SAFE, 120),
    "databricks": ("da" + "pi", HEX, 32),
    "digitalocean": ("do" + "p_v1_", HEX, 64),
    "groq": ("gs" + "k_", ALNUM, 52),
    "replicate": ("r8" + "_", ALNUM, 37),
    "perplexity": ("pp" + "lx-", ALNUM, 48),
    "nvidia": ("nv" + "api-", URL_SAFE, 64),
    "vault": ("hv" + "s.", URL_SAFE, 95),
    "docker": ("dckr" + "_pat_", URL_SAFE, 27),
    "grafana": ("gl" + "c_", BASE64, 120),
    "linear": ("lin" + "_api_", ALNUM, 40),
    "notion": ("nt" + "n_", string.digits, 11),
    "postman": ("PM" + "AK-", HEX, 24),
    "pulumi": ("pu" + "l-", HEX, 40),
    "rubygems": ("ruby" + "gems_", HEX, 48),
    "shopify": ("shp" + "at_", HEX, 32),
    "age": ("AGE-SECRET-" + "KEY-1", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
    "supabase": ("sb" + "p_", HEX, 40),
    "langsmith": ("ls" + "v2_pt_", HEX, 32),
    "wandb": ("wandb" + "_v1_", ALNUM, 60),
}
# What completes the tokens above that have a second part.
SECOND_PARTS = {
    "slack bot": ("-", ALNUM, 24),
    "slack app": ("-1234567890123-", HEX, 64),
    "sendgrid": (".", URL_SAFE, 43),
    "notion": ("", ALNUM, 35),
    "postman": ("-", HEX, 34),
    "langsmith": ("_", HEX, 10),
}
TOKEN_PLACES = ["python train.py {}", "run --x={},y", 'echo "{}"', "https://host/{}?x=1", '{{"a": "{}"}}']

# Values that their surroundings give away: (template, alphabet, length).
PLACES: list[tuple[str, str, int]] = [
    ("train.py --token {}", ALNUM, 24),
    ("train.py --token={}", HEX, 40),
    ("train.py --api-key {}", ALNUM, 32),
    ("train.py --api_key '{}'", URL_SAFE, 43),
    ("train.py --hf-token {}", ALNUM, 20),
    ("train.py --auth-token {}", URL_SAFE, 32),
    ("train.py --access-token={}", BASE64, 64),
    ("train.py --client-secret {}", URL_SAFE, 40),
    ("train.py --secret {}", ALNUM, 16),
    ("train.py --secret-key {}", BASE64, 40),
    ("train.py --password {}", ALNUM, 8),
    ("train.py --passwd={}", ALNUM + "!#%", 10),
    ("train.py --pass {}", ALNUM, 9),
    ("train.py --pwd '{}'", ALNUM + "!#%&;", 12),
    ('train.py --passphrase "{} and {}"', ALNUM, 9),
    ("train.py -password {}", ALNUM, 9),
    ("WANDB_API_KEY={} python train.py", HEX, 40),
    ("WANDB_KEY='{}' python train.py", ALNUM, 40),
    ("wandb login {}", HEX, 40),
    ("wandb login --relogin {} && python train.py", HEX, 40),
    ("KAGGLE_KEY={} kaggle datasets download -d a/b", HEX, 32),
    ("RUNPOD_KEY={} run", ALNUM, 40),
    ("HF_TOKEN={} python train.py", ALNUM, 24),
    ('export GITHUB_TOKEN="{}"; x', ALNUM, 40),
    ("DB_PASS={} run", ALNUM, 9),
    ("DB_PASS='{} {}' run", ALNUM, 9),
    ('DB_PASSWORD="{} \\"{}\\" {}" run', ALNUM, 9),
    ("PGPASSWORD={} psql", ALNUM, 12),
    ("PGPASSWORD={}\"{} {}\"'{}' psql", ALNUM, 7),
    ("MYSQL_PWD={} mysql", ALNUM, 12),
    ("SSHPASS={} sshpass -e ssh h", ALNUM, 12),
    ("MYTOKEN={} run", ALNUM, 20),
    ("env DB_PASSWORD_PROD={} run", ALNUM, 12),
    ("SECRET_KEY_BASE={} run", HEX, 128),
    ("API_KEY_2={} run", ALNUM, 32),
    ("docker run -e 'MYSQL_ROOT_PASSWORD={} {}' mysql", ALNUM, 9),
    ('docker run -e "API_TOKEN={}" img', ALNUM, 24),
    ("docker run --env=REDIS_PASSWORD={} img", ALNUM, 12),
    ("docker login -u me -p {}", ALNUM, 12),
    ("mysql -u root -p{} db", ALNUM, 9),
    ("mysqldump --user=root --password={} db", ALNUM, 9),
    ("sshpass -p {} ssh me@h", ALNUM, 9),
    ("sshpass -p '{} {}' ssh me@h", ALNUM, 9),
    ("tool -p {}", ALNUM + "!%", 14),
    ("curl -u alice:{} https://h", ALNUM, 10),
    ("curl --user 'alice:{}' https://h", ALNUM + "!&;", 10),
    ("curl -H 'Authorization: Bearer {}' https://h", URL_SAFE, 16),
    ('curl -H "Authorization: Bearer {}" https://h', URL_SAFE, 64),
    ("curl -H 'Authorization: token {}' https://h", HEX, 40),
    ("curl -H 'Authorization: Basic {}' https://h", BASE64, 24),
    ("curl -H 'Authorization: {}' https://h", ALNUM, 32),
    ("curl -H 'Proxy-Authorization: Basic {}' https://h", BASE64, 24),
    ("curl -H 'X-API-Key: {}' https://h", ALNUM, 20),
    ("curl -H 'x-api-key:{}' https://h", ALNUM, 40),
    ("curl -H 'X-Auth-Token: {}' https://h", HEX, 32),
    ("curl -H 'Private-Token: {}' https://h", URL_SAFE, 20),
    ("curl -H 'Cookie: session={}' https://h", ALNUM, 32),
    ("http h Authorization:'Bearer {}'", URL_SAFE, 32),
    ("use Bearer {} here", URL_SAFE, 40),
    ("git clone https://me:{}@github.com/a/b", ALNUM, 20),
    ("git clone https://{}@github.com/a/b", ALNUM, 40),
    ("git clone https://{}:x-oauth-basic@github.com/a/b", ALNUM, 40),
    ("git clone https://{}:@github.com/a/b", ALNUM, 40),
    ("pip install --index-url https://__token__:{}@host/simple x", URL_SAFE, 64),
    ("psql postgresql://me:{}@db/x", ALNUM, 12),
    ("psql postgres://me:{}@{}/{}@db:5432/x?sslmode=require", ALNUM, 6),
    ("x mysql+pymysql://me:{}@db/x", ALNUM, 12),
    ("x mongodb+srv://me:{}/{}@cluster/x", ALNUM, 8),
    ("x redis://:{}@cache:6379/0", ALNUM, 16),
    ("x amqps://me:{}@mq/%2f", ALNUM, 16),
    ("x snowflake://me:{}@acc/db", ALNUM, 16),
    ("x 'Server=db;User Id=sa;Password={};Encrypt=yes'", ALNUM + "!@", 12),
    ("x 'Server=db;Uid=sa;Pwd={};'", ALNUM, 12),
    ("x 'DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==;EndpointSuffix=e'", BASE64, 86),
    ("x 'Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey={}='", BASE64, 43),
    ("x https://a.blob.core.windows.net/c?sv=2023&sp=r&sig={}%3D&se=2030", ALNUM, 43),
    ("x 'https://b.s3.amazonaws.com/k?X-Amz-Date=2&X-Amz-Signature={}'", HEX, 64),
    ("x 'https://b.s3.amazonaws.com/k?X-Amz-Credential={}%2F2030&x=1'", UPPER, 20),
    ("x 'https://b.s3.amazonaws.com/k?AWSAccessKeyId=x&Signature={}%3D&Expires=1'", ALNUM, 27),
    ("x 'https://storage.googleapis.com/b/k?X-Goog-Signature={}'", HEX, 256),
    ("x 'https://h/api?access_token={}&y=1'", URL_SAFE, 40),
    ("x 'https://h/api?y=1&api_key={}'", ALNUM, 32),
    ("x https://hooks.slack.com/services/T0AB/B0CD/{}", ALNUM, 24),
    ("x https://discord.com/api/webhooks/123456789012345678/{}", URL_SAFE, 68),
    ("x https://acme.webhook.office.com/webhookb2/{}", HEX, 32),
    ("x https://hooks.zapier.com/hooks/catch/12345/{}", ALNUM, 7),
    ("x https://api.telegram.org/bot12345678:{}/sendMessage", URL_SAFE, 35),
    ("aws_secret_access_key = {}", BASE64, 40),
    ("aws_secret: {}", BASE64, 40),
    ("AWS_SECRET_ACCESS_KEY={} AWS_REGION=eu x", BASE64, 40),
    ("aws configure set aws_secret_access_key {}", BASE64, 40),
    ("echo 'machine h login me password {}'", ALNUM, 12),
    ("ENV['API_KEY'] = '{}'", ALNUM, 24),
    ("AWS_SESSION_TOKEN={} x", BASE64, 300),
    ("password: {}", ALNUM, 10),
    ('client_secret: "{}"', URL_SAFE, 40),
    ("trainer.hub_token={} model=bert", ALNUM, 34),
    ("{{'api_key': '{}', 'n': 3}}", ALNUM, 32),
    ('{{"apiKey": "{}"}}', ALNUM, 32),
    ('{{"accessToken":"{}"}}', URL_SAFE, 64),
    ('{{"db": {{"password": "{} {}"}}}}', ALNUM, 9),
    ('ray submit --json \'{{"env_vars": {{"WANDB_API_KEY": "{}"}}}}\'', HEX, 40),
    ('ray submit --json "{{\\"HF_TOKEN\\": \\"{}\\"}}"', ALNUM, 30),
    ("python -c \"import x; x.login(token='{}')\"", ALNUM, 30),
    ("python -c 'x.login(password=\"{} {}\")'", ALNUM, 9),
    ("--registry-password={} --x", ALNUM, 14),
    ("mlflow --tracking-token {}", ALNUM, 24),
    ("-----BEGIN RSA PRIVATE KEY-----\n{}\n{}\n-----END RSA PRIVATE KEY-----", BASE64, 64),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\\n{}\\n{}", BASE64, 70),
    ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n{}", BASE64, 64),
]


def secrets(seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """(a text, the secrets in it) for every token in every second place, and every place."""
    chance = random.Random(seed)
    corpus: list[tuple[str, tuple[str, ...]]] = []
    for number, (name, (start, alphabet, length)) in enumerate(TOKENS.items()):
        for place in TOKEN_PLACES[number % 2 :: 2]:
            token = start + _chars(chance, alphabet, length)
            if name in SECOND_PARTS:
                delimiter, second, more = SECOND_PARTS[name]
                token += delimiter + _chars(chance, second, more)
            corpus.append((place.format(token), (token,)))
    for template, alphabet, length in PLACES:
        parts = [_chars(chance, alphabet, length) for _ in range(template.count("{}"))]
        corpus.append((template.format(*parts), tuple(parts)))
    for _ in range(3):
        corpus.append(_jwt(chance))
    return corpus


def _jwt(chance: random.Random) -> tuple[str, tuple[str, ...]]:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).decode().rstrip("=")
    body = base64.urlsafe_b64encode(json.dumps({"sub": chance.getrandbits(64)}).encode()).decode().rstrip("=")
    token = f"{head}.{body}.{_chars(chance, URL_SAFE, 43)}"
    return f"run with {token} now", (token,)


TOKENIZER = {
    "pad_token": ["<pad>", "[PAD]", "<|endoftext|>", "<|finetune_right_pad_id|>", "Ġ", "▁", "0"],
    "eos_token": ["</s>", "<|im_end|>", "<|eot_id|>", "<eos>", "<\uff5cend▁of▁sentence\uff5c>"],
    "bos_token": ["<s>", "<|begin_of_text|>", "<|startoftext|>"],
    "unk_token": ["<unk>", "[UNK]"],
    "mask_token": ["[MASK]", "<mask>"],
    "sep_token": ["[SEP]"],
    "cls_token": ["[CLS]"],
    "image_token": ["<image>", "<|vision_start|>", "image"],
    "additional_special_tokens": ["<extra_id_0>", "<|reserved_special_token_250|>"],
    "decoder_start_token": ["<|startoftranscript|>"],
    "tokenizer_class": ["PreTrainedTokenizerFast", "LlamaTokenizer"],
    "token_type": ["bearer", "word"],
}
NAMED = {
    "key": [
        "abc",
        "user_id",
        "layer.0.weight",
        "model.layers.11.self_attn.q_proj.weight",
        "created_at",
        "C#m",
        "val/loss",
    ],
    "primary_key": ["id", "user_id", "order_id"],
    "sort_key": ["timestamp", "step"],
    "partition_key": ["2024-01-01", "region=eu"],
    "foreign_key": ["customer_id"],
    "cache_key": ["d41d8cd98f00b204e9800998ecf8427e", "v2-linux-py311", "tokenized-wikitext-103"],
    "public_key": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1kMRb1xYzR"],
    "s3_key": ["datasets/train/part-00000.parquet"],
    "object_key": ["runs/2024/05/01/model.safetensors"],
    "metric_key": ["eval_accuracy"],
    "state_key": ["optimizer_state_dict"],
    "key_file": ["/home/me/.ssh/id_ed25519", "server.key", "~/.aws/credentials"],
    "key_size": ["2048", "32"],
    "num_key_value_heads": ["8"],
    "key_dim": ["64"],
    "token": ["true", "None", "word", "12", "gpt2", "char", "llama3"],
    "tokens": ["1000000", "4096", "1e9"],
    "max_tokens": ["4096"],
    "max_new_tokens": ["256"],
    "num_tokens": ["1.5e12"],
    "token_lr": ["0.001", "1e-4"],
    "token_dropout": ["0.1"],
    "token_url": ["https://auth.example.com/oauth/token"],
    "token_file": ["/run/secrets/token"],
    "next_token_loss": ["2.31"],
    "use_auth_token": ["True", "False"],
    "hub_token": ["null", "<HF_TOKEN>", "${HF_TOKEN}", "$HF_TOKEN"],
    "api_key": [
        "None",
        "$OPENAI_API_KEY",
        "${OPENAI_API_KEY}",
        "os.environ['KEY']",
        "<your-key>",
        "{{ secrets.KEY }}",
        "",
    ],
    "api_key_env": ["OPENAI_API_KEY"],
    "password": ["null", "false", "required", "string", "***", "$DB_PASSWORD", "prompt"],
    "password_policy": ["strict", "min-length-8", "pbkdf2-sha256-100000"],
    "password_hash": ["argon2"],
    "password_file": ["/run/secrets/db"],
    "passes": ["3"],
    "pass": ["1", "first"],
    "forward_pass": ["true"],
    "secret": ["false", "none"],
    "secret_name": ["my-app-secret", "db-credentials-v2", "prod/training/db"],
    "secret_ref": ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:db"],
    "auth": ["oauth2", "basic", "none", "kerberos", "2.0.0rc1"],
    "auth_type": ["bearer", "iam"],
    "author": ["Ada Lovelace"],
    "authority": ["example.com"],
    "credential_type": ["service_account"],
    "keyword": ["transformer"],
    "keyring": ["25.0"],
    "keyboard": ["qwerty"],
    "monkey": ["capuchin", "aB3dE5fG7hJ9kL1mN3pQ"],
    "turkey": ["wild", "aB3dE5fG7hJ9kL1mN3pQ"],
    "donkey_version": ["5.1.0"],
    "compass": ["north"],
    "tiktoken": ["0.11.0", "cl100k_base"],
    "authlib": ["1.3.0rc1"],
    "google-auth": ["2.40.3"],
    "tokenizers": ["0.19.1", "0.22.0.dev0"],
    "secretstorage": ["3.3.3"],
    "huggingface-token-tools": ["0.1.0"],
    "PWD": ["/home/me/project", "/root"],
    "OLDPWD": ["/home/me"],
    "XAUTHORITY": ["/run/user/1000/gdm/Xauthority"],
    "TOKENIZERS_PARALLELISM": ["false", "true"],
    "SSH_AUTH_SOCK": ["/tmp/ssh-XXXXabcd/agent.1234"],
    "KEYMAP": ["us"],
    "GPG_KEY": ["A035C8C19219BA821ECEA86B64E628F8D684696D"],
    "hash": ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    "sha256": ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    "git_commit": ["0123456789abcdef0123456789abcdef01234567"],
    "integrity": ["sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="],
    "run_id": ["1a2b3c4d", "2f9c6a8e-4f1b-4c57-9d7b-0a5f1a2b3c4d"],
    "id": ["550e8400-e29b-41d4-a716-446655440000"],
    "image": [
        "nvcr.io/nvidia/pytorch:24.05-py3",
        "img@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
    "model": [
        "meta-llama/Llama-3.1-8B-Instruct",
        "facebook/opt-125m",
        "sk-learn",
        "hf-internal-testing/tiny-random-bert",
    ],
    "optimizer": ["adamw_torch_fused", "paged_adamw_8bit"],
    "lr": ["3e-4", "0.1"],
    "betas": ["0.9,0.999"],
    "url": [
        "https://huggingface.co/datasets/c4",
        "https://host:8080/a@b",
        "ssh://git@github.com/a/b",
        "redis://h:6379/0",
    ],
    "email": ["me@example.com"],
    "path": ["s3://bucket/token=3/part-0.parquet", "/data/key=abc/x.csv", "data/password-strength/train.csv"],
    "ROAR_JOB_INSTANCE_ID": ["0f3b9d8c7a6e5d4c"],
}
COMMANDS = [
    "python train.py --lr 0.1 --tokenizer bert-base --keys a,b",
    "python train.py --token-count 5 --password-file f --api-key-file f --secret-name my-app",
    "pip install tiktoken==0.11.0 google-auth==2.0.0rc1 keyring==25.0 authlib>=1.3",
    "pip install torch==2.9.1+cu121 --index-url https://download.pytorch.org/whl/cu121",
    "python -m torch.distributed.run --nproc_per_node 8 -p 29500 train.py",
    "docker run -p 8080:80 -p 127.0.0.1:5432:5432 -u 1000:1000 img@sha256:" + "ab" * 32,
    "docker run --user nobody:nogroup -v /a:/b img:v1.2",
    "unzip -p archive-1.zip data2.csv",
    "docker compose -p my-project_v2 up -d",
    "mkdir -p outputs/run-2024-05-01 && cp -p a b",
    "ssh -p 2222 me@host 'ls -la'",
    "pytest -p no:cacheprovider -k 'token and not key'",
    "patch -p1 < fix.diff",
    "git log -p a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6a7b8c9d0",
    "psql -p 5432 -U me db",
    "accelerate launch --main_process_port 29501 train.py model.token_dim=64 data.sort_key=len",
    "python train.py +trainer.tokens=1e9 hydra.key=abc 'model.name=gpt2'",
    "python eval.py --stop-token '<|im_end|>' --pad-token '[PAD]'",
    "python -c 'import secrets; print(len(tokens))'",
    "python -c \"d = {'key': 'value', 'token': 'word'}\"",
    "sort --key=2,2n data.tsv && join -t: -1 1 a b",
    "awk -F: '{print $1}' /etc/passwd",
    "bearer of news and basic understanding of authentication",
    "echo don't panic; it's key to pass the test",
    "curl -H 'Authorization: Bearer $TOKEN' -H \"X-API-Key: ${KEY}\" https://h",
    "curl -H 'Content-Type: application/json' -H 'Accept: */*' https://h/v1/tokens?limit=5",
    "make KEY=val PASSES=3 all",
    "for key in a b; do echo $key; done",
    "kubectl create secret generic my-secret --from-file=ssh-privatekey=id_rsa",
    "openssl genrsa -out server.key 2048",
    "ssh-keygen -t ed25519 -f id_ed25519",
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
    'python train.py --hub-token $HF_TOKEN --wandb-key "$WANDB_API_KEY"',
    "wandb login --relogin && huggingface-cli whoami",
    "wandb login --host=https://wandb.acme.org; wandb login my-team; wandb sync run-3f2a",
    "torchrun --rdzv_id 1a2b3c4d --rdzv_endpoint host:29400 train.py",
    "dvc pull -r s3://bucket/a/b/0123456789abcdef0123456789abcdef.dir",
    "cmd --key=layer1.weight --sort-key=created_at --partition_key 2024-05-01",
    "python -m pass_manager --pass 2 --passes=10 --compass north",
    "jq '.token.value' a.json",
    "sed -e 's/token: .*/token: x/' a.yml",
    "spark-submit --conf spark.ui.port=4040 --class org.acme.TokenCount app.jar",
    "python hf_hub.py hf_transfer gh_pages glpat-x xoxb-1 ghp_short sk-antarctic",
]
PACKAGES = (
    "absl-py accelerate aiohttp asyncssh attrs authlib bcrypt boto3 certifi charset-normalizer cryptography"
    " datasets dill django-allauth dj-rest-auth fsspec google-auth google-auth-oauthlib huggingface-hub keyring"
    " keyrings.alt msal numpy oauthlib openai packaging pandas passlib pyjwt python-keycloak pytorch-lightning"
    " regex requests-oauthlib safetensors secretstorage sentencepiece tiktoken tokenizers torch torchvision"
    " transformers wandb"
).split()


def innocents(seed: int) -> list[str]:
    """Texts that hold no secret, in the forms in which they occur."""
    chance = random.Random(seed)
    corpus = list(COMMANDS)
    for name, values in (TOKENIZER | NAMED).items():
        for value in values:
            corpus += [f"{name}={value}" if " " not in value else f"{name}='{value}'", f'{{"{name}": "{value}"}}']
            corpus.append(f"--{name.replace('_', '-')} {value}" if " " not in value else f'--{name} "{value}"')
    for package in PACKAGES:
        version = f"{chance.randrange(9)}.{chance.randrange(40)}.{chance.randrange(9)}"
        corpus += [f"{package}=={version}", f'{{"{package}": "{version}"}}', f"{package}={version}"]
    for _ in range(20):
        digest = f"{chance.getrandbits(256):064x}"
        corpus += [digest, f"blake3:{digest}", f'{{"hash": "{digest}", "path": "out/{digest[:12]}.bin"}}']
        corpus.append(str(uuid.UUID(int=chance.getrandbits(128))))
    return corpus
