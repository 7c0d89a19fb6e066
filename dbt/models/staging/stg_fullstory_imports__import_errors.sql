{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{%- set columns = loaded_columns('import_errors') %}

select
    {{ field(columns, ['job_id'], 'str', is_key=true) }},
    {{ field(columns, ['error_index'], 'int', is_key=true) }},
    {{ field(columns, ['message'], 'str') }},
    {{ field(columns, ['code'], 'str') }},
    {{ field(columns, ['event'], 'json') }},
    {{ field(columns, ['event', 'user', 'id'], 'str') }},
    {{ field(columns, ['event', 'user', 'uid'], 'str') }},
    {{ field(columns, ['event', 'session', 'id'], 'str') }},
    {{ field(columns, ['event', 'session', 'uid'], 'str') }},
    {{ field(columns, ['event', 'session', 'use_most_recent'], 'bool') }},
    {{ field(columns, ['event', 'name'], 'str') }},
    {{ field(columns, ['event', 'timestamp'], 'str') }},
    {{ field(columns, ['event', 'properties'], 'json') }},
    {{ field(columns, ['event', 'schema'], 'json') }},
    {{ field(columns, ['shared'], 'json') }},
    {{ field(columns, ['_sdc_extracted_at'], 'date') }},
    {{ field(columns, ['_sdc_batched_at'], 'date') }}
from {{ loaded_rows('import_errors') }}
