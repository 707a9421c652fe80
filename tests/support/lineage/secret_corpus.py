"""Realistic secrets, for the redaction tests.

Secrets are made when a test runs, from a seed and a shape: a token in the source would set off every scanner that reads
this repository, and would be one token only. In a template, `{}` is where the secret stands.
"""

import base64
import json
import random
import string

ALNUM = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
URL_SAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"
HEX = "0123456789abcdef"


def _chars(chance: random.Random, alphabet: str, length: int) -> str:
    """Return random characters, with letters and digits, that neither begin nor end with a delimiter."""
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
    "tailscale": ("ts" + "key-auth-", ALNUM, 17),
    "slack browser": ("xox" + "c-", string.digits, 12),
    "runpod": ("rp" + "a_", UPPER, 40),
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
    "tailscale": ("-", ALNUM, 32),
    "slack browser": ("-", HEX, 64),
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
    # What the program says of its option, or of a place.
    ("redis-cli -h h -a {} ping", ALNUM, 9),
    ("redis-cli -a '{} {}' ping", ALNUM, 9),
    ("redis-cli --pass {} ping", ALNUM, 9),
    ("redis-cli -u redis://default:{}@h:6379", ALNUM, 9),
    ("openssl enc -aes-256-cbc -k {} -in a -out b", ALNUM, 9),
    ("openssl enc -aes-256-cbc -K {} -iv 0", HEX, 64),
    ("openssl enc -aes-256-cbc -pass pass:{} -in a", ALNUM, 9),
    ("openssl rsa -passin pass:{} -passout pass:{} -in k", ALNUM, 9),
    ("openssl rsa -passin 'pass:{} {}' -in k", ALNUM, 9),
    ("mysql -u root -p'{} {}' db", ALNUM, 7),
    ("mysql -h db.example.com -P 3306 -u root -p{}", ALNUM, 9),
    ("mongosh -u a -p{}", ALNUM, 9),
    ("curl -su alice:{} https://h", ALNUM, 9),
    ("curl -sSLu 'alice:{} {}' https://h", ALNUM, 9),
    ("curl -ualice:{} https://h", ALNUM, 9),
    ("curl -U proxy:{} https://h", ALNUM, 9),
    ("curl -b 'sid={}' https://h", ALNUM, 20),
    ("curl --cookie 'a=1; session={}' https://h", ALNUM, 20),
    ("curl -H Authorization:Bearer\\ {} https://h", ALNUM, 20),
    ("curl -H 'Authorization: Digest {}' https://h", ALNUM, 20),
    ("http -a alice:{} https://h", ALNUM, 9),
    ("https -A bearer -a {} h", ALNUM, 20),
    ("train.py --auth me:{}", ALNUM, 9),
    ("plink -pw {} h", ALNUM, 9),
    ("az login -u me@example.org -p {}", ALNUM, 12),
    ("twine upload -u a -p {} dist/x", ALNUM, 12),
    ("docker login -u me -p{} r.example.com", ALNUM, 12),
    ("echo {} | docker login -u me --password-stdin", ALNUM, 16),
    ("echo '{} {}' | sudo -S true", ALNUM, 8),
    ("gh auth login --with-token <<< {}", ALNUM, 24),
    ("kubectl create secret generic s --from-literal=key={}", ALNUM, 16),
    ("vault kv put secret/x value={}", ALNUM, 16),
    ("zip -P {} a b", ALNUM, 9),
    ("7z a -p'{} {}' a", ALNUM, 9),
    ("rar a -hp{} x", ALNUM, 9),
    ("ssh-keygen -t ed25519 -N {} -f k", ALNUM, 9),
    ("keytool -storepass {} -keypass {}", ALNUM, 9),
    ("ldapsearch -D cn=a -w {} x", ALNUM, 9),
    ("smbclient //h/s -U me%{}", ALNUM, 9),
    ("lftp -u me,{} h", ALNUM, 9),
    ("htpasswd -b f me {}", ALNUM, 9),
    ("htpasswd -nbB me {}", ALNUM, 9),
    ("mosquitto_pub -u a -P {} -t x", ALNUM, 9),
    ("sqlcmd -S h -U sa -P{}", ALNUM, 9),
    ("sqlplus scott/{}@h", ALNUM, 9),
    ("x jdbc:oracle:thin:scott/{}@h:1521:x", ALNUM, 9),
    ("mc alias set minio http://h:9000 access {}", ALNUM, 24),
    ("npm config set //r.example.com/:_auth {}", ALNUM, 24),
    ("dvc remote modify --local r secret_access_key '{}'", BASE64, 40),
    ("rclone config create r s3 access_key_id x secret_access_key {}", BASE64, 40),
    ("git config --global user.password {}", ALNUM, 9),
    ("cargo login {}", ALNUM, 32),
    ("python -c \"requests.get('u', auth=('me', '{}'))\"", ALNUM, 9),
    ("python -c \"wandb.login(key='{}')\"", HEX, 40),
    ("GITHUB_PAT={} x", ALNUM, 32),
    ("MY_CREDS={} x", ALNUM, 16),
    ("FERNET={}= x", ALNUM, 43),
    ("SECRET_KEY='{}(!${}' x", ALNUM, 20),
    ("x https://outlook.office.com/webhook/{}", HEX, 32),
    ("train.py --password \\\n  {}", ALNUM, 9),
    ("train.py --password\n{}", ALNUM, 9),
    ("curl -u \\\n me:{} h", ALNUM, 9),
    ("password:\n  {}", ALNUM, 9),
    ("  api_key: >-\n    {}", ALNUM, 24),
    ("train.py --password=${{X:-{}}}", ALNUM, 9),
    ("API_TOKEN=${{T:-{}}} x", ALNUM, 24),
    ("PASSWORD=$(echo {}) x", ALNUM, 9),
    ("curl -H 'Authorization: SSWS {}' h", ALNUM, 24),
    ("curl -H 'Authorization: AWS AKIA:{}' h", BASE64, 27),
    ("gcloud functions deploy --set-env-vars API_KEY={},B=1", ALNUM, 24),
    ("aws ssm put-parameter --type SecureString --name x --value {}", ALNUM, 16),
    ("ngrok authtoken {}", ALNUM, 40),
    ("pulumi config set --secret x {}", ALNUM, 16),
    ("op signin --raw <<< {}", ALNUM, 12),
    ("python t.py 'logger.wandb.key={}'", HEX, 40),
    ("x https://h/x;jsessionid={}", ALNUM, 32),
    ("train.py --password it\\ is\\ {}", ALNUM, 9),
    ("train.py --password 'it'\\''s {}'", ALNUM, 9),
    ("-----BEGIN RSA PRIVATE KEY-----\n{}\n{}\n-----END RSA PRIVATE KEY-----", BASE64, 64),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\\n{}\\n{}", BASE64, 70),
    ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n{}", BASE64, 64),
]


def secrets(seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """Yield (a text, the secrets in it) for every token in every second place, and every place."""
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
