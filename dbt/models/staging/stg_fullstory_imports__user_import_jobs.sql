{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{%- set columns = loaded_columns('user_import_jobs') %}

select
    {{ field(columns, ['job_id'], 'str', is_key=true) }},
    {{ field(columns, ['status'], 'str') }},
    {{ field(columns, ['created_at'], 'date') }},
    {{ field(columns, ['finished_at'], 'date') }},
    {{ field(columns, ['imported_users'], 'int') }},
    {{ field(columns, ['failed_users'], 'int') }},
    {{ field(columns, ['_sdc_extracted_at'], 'date') }},
    {{ field(columns, ['_sdc_batched_at'], 'date') }}
from {{ loaded_rows('user_import_jobs') }}
